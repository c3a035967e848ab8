#include "fs/buffer.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "fs/waiting.h"

#include <string.h>

/* A piece of the text, at most `size` bytes. */
static ssize_t copy_text(const char *text, void *buffer, size_t size, uint64_t offset)
{
  size_t length = strlen(text);
  size_t start = MIN(offset, length);
  size_t piece = MIN(size, length - start);
  memcpy(buffer, text + start, piece);
  return piece;
}

/* ── reading ── */

static int64_t read_node(BgfsHandle *handle, void *buffer, size_t size, uint64_t offset)
{
  struct iovec iov = {buffer, size};
  return buffer ? bg_user_preadv(handle->user, &iov, 1, offset) : -ENOMEM;
}

/* Replies come out of the thread's own buffer: once the caller has its answer, it may let go of the handle. */
static void reply_read(fuse_req_t req, int64_t result, const BgfsWaiting *waiting)
{
  (void)waiting;
  if (result < 0)
    fuse_reply_err(req, (int)-result);
  else
    fuse_reply_buf(req, bgfs_buffer(bgfs_fs(req)), (size_t)result);
}

static int64_t run_read(BgfsWaiting *waiting)
{
  return read_node(waiting->handle, bgfs_buffer(waiting->fs), waiting->length, waiting->offset);
}

static const BgfsWork read_work = {run_read, reply_read};

void bgfs_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
  (void)ino;
  BgfsHandle *handle = bgfs_handle(fi);
  if (size > BGFS_MAX_REQUEST) {
    fuse_reply_err(req, EINVAL);
    return;
  }
  bgfs_handle_in_use(handle);
  if (bgfs_may_wait(handle)) {
    bgfs_waiting_run(req, handle, &(BgfsWaiting){.work = &read_work, .offset = offset, .length = size});
    return;
  }
  void *buffer = bgfs_buffer(bgfs_fs(req));
  if (handle->inode || !buffer)
    reply_read(req, read_node(handle, buffer, size, offset), NULL);
  else
    reply_read(req, copy_text(handle->text, buffer, size, offset), NULL);
}

/* ── writing ── */

static int64_t write_node(BgfsHandle *handle, const void *data, size_t size, uint64_t offset)
{
  struct iovec iov = {(void *)data, size};
  return bg_user_pwritev(handle->user, &iov, 1, offset);
}

static void reply_write(fuse_req_t req, int64_t result, const BgfsWaiting *waiting)
{
  (void)waiting;
  if (result < 0)
    fuse_reply_err(req, (int)-result);
  else
    fuse_reply_write(req, (size_t)result);
}

static int64_t run_write(BgfsWaiting *waiting)
{
  return write_node(waiting->handle, waiting->data, waiting->length, waiting->offset);
}

static const BgfsWork write_work = {run_write, reply_write};

void bgfs_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                   struct fuse_file_info *fi)
{
  (void)ino;
  BgfsHandle *handle = bgfs_handle(fi);
  if (!handle->inode) {
    fuse_reply_err(req, EBADF);
    return;
  }
  bgfs_handle_in_use(handle);
  if (bgfs_may_wait(handle))
    bgfs_waiting_run(req, handle, &(BgfsWaiting){.work = &write_work, .offset = offset, .length = size, .data = data});
  else
    reply_write(req, write_node(handle, data, size, offset), NULL);
}

/* ── flushing ── */

static void reply_status(fuse_req_t req, int64_t result, const BgfsWaiting *waiting)
{
  (void)waiting;
  fuse_reply_err(req, (int)-result);
}

static int64_t run_fsync(BgfsWaiting *waiting)
{
  return bg_user_flush(waiting->handle->user);
}

static const BgfsWork fsync_work = {run_fsync, reply_status};

void bgfs_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  (void)ino;
  (void)datasync;
  BgfsHandle *handle = bgfs_handle(fi);
  if (bgfs_may_wait(handle))
    bgfs_waiting_run(req, handle, &(BgfsWaiting){.work = &fsync_work});
  else
    fuse_reply_err(req, handle->inode ? -bg_user_flush(handle->user) : 0);
}

static int64_t run_flush(BgfsWaiting *waiting)
{
  return bg_user_write_back(waiting->handle->user);
}

static const BgfsWork flush_work = {run_flush, reply_status};

/* Comes at every close of every copy of the descriptor; RELEASE follows the last one, some time later. */
void bgfs_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  (void)ino;
  BgfsHandle *handle = bgfs_handle(fi);
  if (!handle->inode) {
    fuse_reply_err(req, 0);
    return;
  }
  bgfs_handle_in_use(handle);
  bgfs_closing_begin(bgfs_fs(req)->closing, handle);
  if (!(handle->access & BGFS_WRITE))
    fuse_reply_err(req, 0);
  else if (bgfs_may_wait(handle))
    bgfs_waiting_run(req, handle, &(BgfsWaiting){.work = &flush_work, .closes = true});
  else
    fuse_reply_err(req, -bg_user_write_back(handle->user));
}
