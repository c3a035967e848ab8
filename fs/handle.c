#include "fs/handle.h"

#include "drivers/error.h"

#include <linux/fuse.h>

#ifndef FOPEN_PASSTHROUGH
#define FOPEN_PASSTHROUGH (1 << 7)
#endif

bool bgfs_acquire(BgfsFs *fs, BgfsInode *inode, BgfsAccess access, GError **error)
{
  int64_t deadline = g_get_monotonic_time() + BGFS_CLOSING_WAIT;
  for (;;) {
    uint64_t gone = bgfs_closing_count(fs->closing);
    g_autoptr(GError) refusal = NULL;
    if (bgfs_file_acquire(&inode->file, access, &refusal))
      return true;
    if (bg_error_errno(refusal) != EBUSY || !bgfs_closing_wait(fs->closing, gone, deadline)) {
      g_propagate_error(error, g_steal_pointer(&refusal));
      return false;
    }
  }
}

void bgfs_release(BgfsInode *inode, BgfsAccess access)
{
  g_autoptr(GError) error = NULL;
  if (!bgfs_file_release(&inode->file, access, &error))
    g_warning("%s", error->message);
}

/* Not fuse_reply_open(): older libfuse cannot say FOPEN_PARALLEL_DIRECT_WRITES and FOPEN_PASSTHROUGH. */
int bgfs_reply_open(fuse_req_t req, const BgfsHandle *handle)
{
  struct {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
  } out = {.fh = (uintptr_t)handle};
  G_STATIC_ASSERT(sizeof(out) == sizeof(struct fuse_open_out));
  if (handle->cache == BGFS_CACHE_PASSTHROUGH) {
    out.open_flags = FOPEN_PASSTHROUGH;
    out.backing_id = handle->inode->backing_id;
  } else if (handle->cache == BGFS_CACHE_NONE)
    out.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
  else if (handle->cache == BGFS_CACHE_KEEP)
    out.open_flags = FOPEN_KEEP_CACHE;
  return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}
