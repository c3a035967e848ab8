/* `blockgraphfs [options] IMAGE MOUNTPOINT`. */
#ifndef BGFS_MOUNT_H
#define BGFS_MOUNT_H

#include "fs/cli.h"

/* Mounts, serves, unmounts. Errors go to stderr, one line. The exit status. */
int bgfs_mount(const BgfsOptions *options);

#endif
