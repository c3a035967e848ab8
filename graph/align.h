/* Requests of any shape to opaque nodes that want aligned ones (O_DIRECT). */
#ifndef BG_ALIGN_H
#define BG_ALIGN_H

#include "graph/node.h"

/* The node's own preadv and pwritev, through a bounce buffer and read-modify-write where the request does not fit
 * limits.request_alignment. For opaque nodes. Inside a gate. 0 or -errno. */
int bg_align_preadv(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);
int bg_align_pwritev(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);

#endif
