/* Who has a node's file open: all its handles share one user of the graph, which holds what they need together. */
#ifndef BGFS_FILE_H
#define BGFS_FILE_H

#include "fs/caching.h"
#include "graph/user.h"

typedef enum { BGFS_READ = 1 << 0, BGFS_WRITE = 1 << 1 } BgfsAccess; /* combinable */

/* What open(2) flags ask for. Where writes are cached, writers read too: the kernel fills pages through any
 * handle. */
BgfsAccess bgfs_access(int open_flags, BgfsCachingPolicy caching);

/* Zeroed but for `node` when nobody has it open. Calls on one file are never made at the same time. */
typedef struct BgfsFile {
  BgNode *_Atomic node; /* another one may take its place, along with the user */
  BgUser *user; /* NULL iff nobody has the file open; stays the same while somebody has */
  unsigned readers, writers;
} BgfsFile;

/* A change. One more handle: the user is made, or takes WRITE for the first writer. On error (of bg_user_new or
 * bg_user_set_perm) nothing changed. */
bool bgfs_file_acquire(BgfsFile *file, BgfsAccess access, GError **error);

/* A change. A handle leaves. The last writer's data are flushed before it gives up WRITE; false if that failed
 * (the handle has left all the same). */
bool bgfs_file_release(BgfsFile *file, BgfsAccess access, GError **error);

/* Drops the user, whoever still has the file open. */
void bgfs_file_clear(BgfsFile *file);

#endif
