/* One open of a file: what fi->fh holds. */
#ifndef BGFS_HANDLE_H
#define BGFS_HANDLE_H

#include "fs/fs.h"

typedef struct BgfsHandle {
  BgfsInode *inode; /* NULL: a file of .graph/ */
  BgUser *user;     /* the inode's, which stays while this handle exists */
  BgfsAccess access;
  char *text; /* of a file of .graph/, as it was when it was opened */
  /* The kernel drops the file's cached pages as it finishes this open: from the first request through the handle
   * on, its cache is of this generation. UINT64_MAX: it does not. */
  uint64_t generation;
} BgfsHandle;

static inline BgfsHandle *bgfs_handle(const struct fuse_file_info *fi)
{
  return (BgfsHandle *)(uintptr_t)fi->fh;
}

/* The kernel has finished the open: it sends requests through the handle. */
static inline void bgfs_handle_in_use(BgfsHandle *handle)
{
  if (handle->generation != UINT64_MAX)
    handle->inode->cached_generation = handle->generation;
}

/* A change, within the inode's serial. bgfs_file_acquire(), and where that is refused with EBUSY while other
 * handles of the mount are closed but not released yet, again after they are. */
bool bgfs_acquire(BgfsFs *fs, BgfsInode *inode, BgfsAccess access, GError **error);
/* bgfs_file_release(); logs what failed. */
void bgfs_release(BgfsInode *inode, BgfsAccess access);

/* Answers OPEN: 0, or -ENOENT where the caller is gone, and no RELEASE will follow. */
int bgfs_reply_open(fuse_req_t req, const BgfsHandle *handle, bool direct_io, bool keep_cache);

#endif
