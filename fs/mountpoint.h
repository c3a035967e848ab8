/* Whether a directory can take the mount. */
#ifndef BGFS_MOUNTPOINT_H
#define BGFS_MOUNTPOINT_H

#include "graph/graph.h"

/* The absolute path, links resolved, of an existing, empty directory in which `image` (NULL: none is named) does
 * not lie; else NULL and one line. Caller frees. */
char *bgfs_mountpoint_check(const char *path, const char *image, GError **error);

/* False if the file (or the file behind it, where it is a loop device) lies inside the directory (a URI never does): the mount would
 * hide what it stands on. */
bool bgfs_mountpoint_check_file(const char *mountpoint, const char *filename, GError **error);

#endif
