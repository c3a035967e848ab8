/* How requests are read from the kernel, and replies written to it. */
#ifndef BGFS_DEVICE_H
#define BGFS_DEVICE_H

struct fuse_session;

/* Between mount and loop. 0 or -errno. The session's user data is a BgfsFs. */
int bgfs_device_install(struct fuse_session *session);

#endif
