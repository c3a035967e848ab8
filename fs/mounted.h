/* Mounts that stand, ours or others'. */
#ifndef BGFS_MOUNTED_H
#define BGFS_MOUNTED_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct BgfsMounted {
  char *path; /* absolute */
  char *type;
  uid_t uid; /* whose mount it is: the only ones who may look in unless it is open to others */
  gid_t gid;
} BgfsMounted;

void bgfs_mounted_clear(BgfsMounted *mounted);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgfsMounted, bgfs_mounted_clear)

/* The topmost mount at an absolute path, out of the text of /proc/self/mountinfo. False if there is none. */
bool bgfs_mounted_parse(const char *mountinfo, const char *path, BgfsMounted *mounted);

/* Our mount at that path. False and one line if none is on top there. Asks no daemon, so it cannot hang on a dead
 * one. */
bool bgfs_mounted_find(const char *path, BgfsMounted *mounted, GError **error);

/* The process that serves the mount, as it says itself; 0 if that is dead. -1 on error; after `seconds` without an
 * answer that is one. */
pid_t bgfs_mounted_pid(const BgfsMounted *mounted, unsigned seconds, GError **error);

#endif
