/* FUSE passthrough: the kernel serves the reads and writes of a node that is a host file's bytes from that file itself. Needs
 * Linux 6.9 and CAP_SYS_ADMIN; where it cannot be had, requests come to the daemon as ever. */
#ifndef BGFS_PASSTHROUGH_H
#define BGFS_PASSTHROUGH_H

#include "fs/inode.h"

/* Of one mount. Zeroed but for the connection. */
typedef struct BgfsPassthrough {
  int fuse_fd;         /* the connection */
  atomic_bool refused; /* the kernel takes no backing files from us: it is not asked again */
} BgfsPassthrough;

/* A change, within the inode's serial; its user holds the permissions of the handle that is being opened. Whether that handle gets
 * passthrough, which the kernel must have agreed to. */
bool bgfs_passthrough_begin(BgfsPassthrough *passthrough, BgfsInode *inode);
/* The same. A handle that has it is gone, and counted out of inode->caching. */
void bgfs_passthrough_end(BgfsPassthrough *passthrough, BgfsInode *inode);

#endif
