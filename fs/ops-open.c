#include "drivers/error.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "fs/virtual.h"
#include "fs/waiting.h"

#include <fcntl.h>

typedef struct OpenTask {
  BgfsTask task;
  fuse_req_t req;
  BgfsFs *fs;
  BgfsInode *inode;
  int flags;
} OpenTask;

typedef struct ReleaseTask {
  BgfsTask task;
  fuse_req_t req;
  BgfsFs *fs;
  BgfsHandle *handle;
} ReleaseTask;

static void drop_handle(BgfsFs *fs, BgfsHandle *handle)
{
  bgfs_caching_close(&handle->inode->caching, handle->cache, handle->access & BGFS_WRITE);
  if (handle->cache == BGFS_CACHE_PASSTHROUGH) {
    bg_user_write_back(handle->user); /* what came through a mapping after the last close */
    bgfs_passthrough_end(&fs->passthrough, handle->inode);
  }
  bgfs_release(handle->inode, handle->access);
  bgfs_closing_end(fs->closing, handle);
  bgfs_opened_remove(fs->opened, handle);
}

/* Pages of one file know nothing of what is written through another. */
static bool is_shown_twice(BgfsFs *fs, BgNode *node)
{
  g_autoptr(GPtrArray) files = bgfs_inodes_showing(fs->inodes, node);
  return files->len > 1;
}

static void answer_open(OpenTask *open, BgfsHandle *handle)
{
  BgNode *node = open->inode->node;
  BgfsFs *fs = open->fs;
  handle->generation = bg_node_generation(node);
  const BgfsCachingOpen caching = {
      .passthrough = fs->init_reply.passthrough && bgfs_passthrough_begin(&fs->passthrough, open->inode),
      .uncached = fs->caching == BGFS_CACHING_NONE || is_shown_twice(fs, node) || bg_node_has_foreign_writer(node) ||
                  bg_node_beside_passthrough(node),
      .direct = open->flags & O_DIRECT && fs->caching != BGFS_CACHING_WRITEBACK && fs->init_reply.maps_uncached,
      .writes = handle->access & BGFS_WRITE,
      .generation = handle->generation,
  };
  handle->cache = bgfs_caching_open(&open->inode->caching, &caching);
  bgfs_opened_add(fs->opened, handle, g_free);
  if (bgfs_reply_open(open->req, handle) == -ENOENT)
    drop_handle(fs, handle);
}

static void run_open(BgfsTask *task)
{
  OpenTask *open = (OpenTask *)task;
  BgfsAccess access = bgfs_access(open->flags, open->fs->caching);
  g_autoptr(GError) error = NULL;
  if (bgfs_acquire(open->fs, open->inode, access, &error)) {
    BgfsHandle *handle = g_new0(BgfsHandle, 1);
    handle->inode = open->inode;
    handle->user = open->inode->file.user;
    handle->access = access;
    answer_open(open, handle);
  } else {
    g_message("file '%s': open for %s refused: %s", bg_node_name(open->inode->node),
              access & BGFS_WRITE ? "writing" : "reading", error->message);
    /* a node that was removed: another may have its name by now, which the kernel then finds by itself */
    bool gone = bg_node_size(open->inode->node) == -ENOENT;
    fuse_reply_err(open->req, gone ? ESTALE : bg_error_errno(error));
  }
  g_free(open);
}

static void free_virtual(gpointer data)
{
  BgfsHandle *handle = data;
  bgfs_virtual_free(handle->text);
  g_free(handle);
}

static void open_virtual(fuse_req_t req, fuse_ino_t ino, int flags)
{
  if (bgfs_access(flags, BGFS_CACHING_AUTO) & BGFS_WRITE) {
    fuse_reply_err(req, EROFS);
    return;
  }
  BgfsFs *fs = bgfs_fs(req);
  BgfsHandle *handle = g_new0(BgfsHandle, 1);
  handle->text = bgfs_virtual_text(fs, ino);
  handle->cache = BGFS_CACHE_NONE;
  bgfs_opened_add(fs->opened, handle, free_virtual);
  if (bgfs_reply_open(req, handle) == -ENOENT)
    bgfs_opened_remove(fs->opened, handle);
}

void bgfs_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  BgfsFs *fs = bgfs_fs(req);
  if (!atomic_exchange(&fs->any_opened, true))
    fs->first_open(fs->callback_data);
  if (bgfs_virtual_name(ino)) {
    open_virtual(req, ino, fi->flags);
    return;
  }
  BgfsInode *inode = bgfs_inodes_get(fs->inodes, ino);
  if (!inode) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  OpenTask *open = g_new0(OpenTask, 1);
  *open = (OpenTask){{run_open}, req, fs, inode, fi->flags};
  bgfs_serial_submit(&inode->serial, &fs->changes, &open->task);
}

static void run_release(BgfsTask *task)
{
  ReleaseTask *release = (ReleaseTask *)task;
  drop_handle(release->fs, release->handle);
  fuse_reply_err(release->req, 0);
  g_free(release);
}

void bgfs_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  (void)ino;
  BgfsHandle *handle = bgfs_handle(fi);
  if (!handle->inode) {
    bgfs_opened_remove(bgfs_fs(req)->opened, handle);
    fuse_reply_err(req, 0);
    return;
  }
  bgfs_handle_in_use(handle);
  ReleaseTask *release = g_new0(ReleaseTask, 1);
  *release = (ReleaseTask){{run_release}, req, bgfs_fs(req), handle};
  bgfs_waiting_release(release->fs, handle, &release->task);
}
