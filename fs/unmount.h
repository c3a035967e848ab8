/* Taking a mount of ours away. */
#ifndef BGFS_UNMOUNT_H
#define BGFS_UNMOUNT_H

#include <glib.h>
#include <stdbool.h>

/* Takes our mount at `path` away and returns when its process has ended, after `timeout` seconds at most. `lazy`: also while files are open,
 * which are then waited for. False: EBUSY naming who uses it, EIO where not all data could be written, ETIMEDOUT, EINVAL … */
bool bgfs_unmount_and_wait(const char *path, bool lazy, unsigned timeout, GError **error);

#endif
