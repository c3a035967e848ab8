/* Mounts that stand, ours or others'. */
#ifndef BGFS_MOUNTED_H
#define BGFS_MOUNTED_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* The mountpoint's absolute path if one of our mounts is on top there; else NULL and one line. Asks no daemon, so it cannot hang
 * on a dead one. Caller frees. */
char *bgfs_mounted_find(const char *path, GError **error);

/* The type of the topmost mount at an absolute path, from the text of /proc/self/mountinfo; NULL: none. Caller frees. */
char *bgfs_mounted_type(const char *mountinfo, const char *path);

/* The process that serves the mount at an absolute path, as it says itself. -1 on error; after `seconds` without an answer that is
 * one. */
pid_t bgfs_mounted_pid(const char *mountpoint, unsigned seconds, GError **error);

#endif
