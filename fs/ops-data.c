#include "fs/buffer.h"
#include "fs/handle.h"
#include "fs/ops.h"

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

/* Replies come out of the thread's own buffer: once the caller has its answer, it may let go of the handle. */
void bgfs_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
  (void)ino;
  BgfsHandle *handle = bgfs_handle(fi);
  void *buffer = bgfs_buffer(bgfs_fs(req));
  if (!buffer || size > BGFS_MAX_REQUEST) {
    fuse_reply_err(req, buffer ? EINVAL : ENOMEM);
    return;
  }
  bgfs_handle_in_use(handle);
  struct iovec iov = {buffer, size};
  ssize_t result =
      handle->inode ? bg_user_preadv(handle->user, &iov, 1, offset) : copy_text(handle->text, buffer, size, offset);
  if (result < 0)
    fuse_reply_err(req, -result);
  else
    fuse_reply_buf(req, buffer, result);
}

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
  struct iovec iov = {(void *)data, size};
  ssize_t result = bg_user_pwritev(handle->user, &iov, 1, offset);
  if (result < 0)
    fuse_reply_err(req, -result);
  else
    fuse_reply_write(req, result);
}

void bgfs_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  (void)ino;
  (void)datasync;
  BgfsHandle *handle = bgfs_handle(fi);
  fuse_reply_err(req, handle->inode ? -bg_user_flush(handle->user) : 0);
}
