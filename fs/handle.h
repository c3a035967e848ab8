/* One open of a file: what fi->fh holds. */
#ifndef BGFS_HANDLE_H
#define BGFS_HANDLE_H

#include "fs/fs.h"

typedef struct BgfsHandle {
  BgfsInode *inode; /* NULL: a file of .graph/ */
  BgUser *user;     /* the inode's, which stays while this handle exists */
  BgfsAccess access;
  char *text; /* of a file of .graph/, as it was when it was opened */
  BgfsCache cache;
  uint64_t generation; /* the node's when it was opened */
  unsigned under_way;  /* the watch's: requests on the file's pool; see waiting.h */
  BgfsTask *release;   /* the watch's: for when there are none any more */
} BgfsHandle;

static inline BgfsHandle *bgfs_handle(const struct fuse_file_info *fi)
{
  return (BgfsHandle *)(uintptr_t)fi->fh;
}

/* The kernel has finished the open, as it sends requests through the handle: only now is it sure that it has dropped
 * older pages. */
static inline void bgfs_handle_in_use(BgfsHandle *handle)
{
  if (handle->cache == BGFS_CACHE_DROP)
    handle->inode->caching.generation = handle->generation;
}

/* A change, within the inode's serial. bgfs_file_acquire(), and where that is refused with EBUSY while other
 * handles of the mount are closed but not released yet, again after they are. */
bool bgfs_acquire(BgfsFs *fs, BgfsInode *inode, BgfsAccess access, GError **error);
/* bgfs_file_release(); logs what failed. */
void bgfs_release(BgfsInode *inode, BgfsAccess access);

/* Answers OPEN: 0, or -ENOENT where the caller is gone, and no RELEASE will follow. */
int bgfs_reply_open(fuse_req_t req, const BgfsHandle *handle);

#endif
