/* How requests are read from the kernel, and replies written to it: /dev/fuse, and io_uring beside it where the kernel offers that. */
#ifndef BGFS_DEVICE_H
#define BGFS_DEVICE_H

#include "fs/fs.h"

/* Between mount and loop, with fs->session set, whose user data is `fs`. 0 or -errno. */
int bgfs_device_install(BgfsFs *fs);

/* The loop has ended: no request comes any more. Waits for what is under way. */
void bgfs_device_stop(BgfsFs *fs);
/* No reply is outstanding. */
void bgfs_device_clear(BgfsFs *fs);

#endif
