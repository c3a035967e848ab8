#include "drivers/error.h"
#include "fs/buffer.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "fs/space.h"
#include "fs/waiting.h"

#include <string.h>
#include <unistd.h>

/* A copy answers after this long with what it has done, so that callers can be interrupted. */
#define COPY_TIME G_USEC_PER_SEC

typedef struct GrowTask {
  BgfsTask task;
  fuse_req_t req;
  BgfsHandle *handle;
  BgfsFallocate action;
  uint64_t offset, length;
} GrowTask;

static void run_grow(BgfsTask *task)
{
  GrowTask *grow = (GrowTask *)task;
  g_autoptr(GError) error = NULL;
  BgUser *user = grow->handle->user;
  int result = bg_user_resize(user, grow->offset + grow->length, &error);
  if (result < 0)
    g_message("file '%s': fallocate refused: %s", bg_node_name(grow->handle->inode->node), error->message);
  else if (grow->action == BGFS_FALLOCATE_ZERO)
    result = bg_user_zero(user, grow->offset, grow->length, BG_USER_ZERO_NONE);
  fuse_reply_err(grow->req, -result);
  g_free(grow);
}

static void submit_grow(fuse_req_t req, BgfsHandle *handle, BgfsFallocate action, off_t offset, off_t length)
{
  GrowTask *grow = g_new0(GrowTask, 1);
  *grow = (GrowTask){{run_grow}, req, handle, action, offset, length};
  bgfs_serial_submit(&handle->inode->serial, &bgfs_fs(req)->changes, &grow->task);
}

static BgUserZero zero_flags(BgfsFallocate action)
{
  return action == BGFS_FALLOCATE_PUNCH ? BG_USER_ZERO_MAY_UNMAP : BG_USER_ZERO_NONE;
}

static int64_t run_zero(BgfsWaiting *waiting)
{
  return bg_user_zero(waiting->handle->user, waiting->offset, waiting->length, (BgUserZero)waiting->mode);
}

static void reply_zero(fuse_req_t req, int64_t result, const BgfsWaiting *waiting)
{
  (void)waiting;
  fuse_reply_err(req, (int)-result);
}

static const BgfsWork zero_work = {run_zero, reply_zero};

void bgfs_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
  (void)ino;
  BgfsHandle *handle = bgfs_handle(fi);
  int64_t size = handle->inode ? bg_node_size(handle->inode->node) : -EBADF;
  if (size < 0) {
    fuse_reply_err(req, -size);
    return;
  }
  uint64_t end = (uint64_t)offset + length;
  BgfsFallocate action = bgfs_fallocate_action(mode, size, end);
  bool keep_size = mode & FALLOC_FL_KEEP_SIZE;
  if (action == BGFS_FALLOCATE_GROW || (action == BGFS_FALLOCATE_ZERO && !keep_size && end > (uint64_t)size))
    submit_grow(req, handle, action, offset, length);
  else if (action == BGFS_FALLOCATE_REFUSE)
    fuse_reply_err(req, EOPNOTSUPP);
  else if (bgfs_may_wait(handle))
    bgfs_waiting_run(
        req, handle,
        &(BgfsWaiting){.work = &zero_work, .offset = offset, .length = length, .mode = zero_flags(action)});
  else
    fuse_reply_err(req, -bg_user_zero(handle->user, offset, length, zero_flags(action)));
}

/* ── seeking ── */

/* Who waits for the answer: through the file's pool, or not. */
typedef struct Caller {
  fuse_req_t req;
  BgfsWaiting *waiting; /* NULL: not */
} Caller;

static bool has_given_up(const Caller *caller)
{
  return caller->waiting ? bgfs_waiting_given_up(caller->waiting) : fuse_req_interrupted(caller->req);
}

/* The first offset from `offset` on that is a hole, or data; the end of the node counts as a hole. Negative:
 * -errno. */
static int64_t seek(const Caller *caller, BgUser *user, uint64_t offset, uint64_t size, bool hole)
{
  while (offset < size) {
    BgStatus status;
    int result = bg_user_status(user, offset, &status);
    if (result < 0)
      return result;
    if (status.zero == hole)
      return offset;
    offset += status.length;
    if (has_given_up(caller))
      return -EINTR;
  }
  return hole ? (int64_t)size : -ENXIO;
}

static void reply_seek(fuse_req_t req, int64_t result, const BgfsWaiting *waiting)
{
  (void)waiting;
  if (result < 0)
    fuse_reply_err(req, (int)-result);
  else
    fuse_reply_lseek(req, result);
}

static int64_t run_seek(BgfsWaiting *waiting)
{
  const Caller caller = {.waiting = waiting};
  return seek(&caller, waiting->handle->user, waiting->offset, waiting->length, waiting->mode == SEEK_HOLE);
}

static const BgfsWork seek_work = {run_seek, reply_seek};

void bgfs_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
  (void)ino;
  BgfsHandle *handle = bgfs_handle(fi);
  int64_t size = handle->inode ? bg_node_size(handle->inode->node) : (int64_t)strlen(handle->text);
  int64_t result;
  if (whence != SEEK_DATA && whence != SEEK_HOLE)
    result = -EINVAL;
  else if (size < 0)
    result = size;
  else if (offset < 0 || offset >= size)
    result = -ENXIO;
  else if (!handle->inode)
    result = whence == SEEK_HOLE ? size : offset;
  else if (bgfs_may_wait(handle)) {
    bgfs_waiting_run(req, handle,
                     &(BgfsWaiting){.work = &seek_work, .offset = offset, .length = (size_t)size, .mode = whence});
    return;
  } else
    result = seek(&(Caller){.req = req}, handle->user, offset, size, whence == SEEK_HOLE);
  reply_seek(req, result, NULL);
}

/* ── copying ── */

/* One user at a time: a request that held the gates of two could wait for itself. Bytes copied, 0 at the end of
 * `in`, -errno. */
static ssize_t copy_piece(BgUser *in, uint64_t offset_in, BgUser *out, uint64_t offset_out, size_t length, void *buffer)
{
  BgStatus status;
  int result = bg_user_status(in, offset_in, &status);
  if (result < 0)
    return result;
  length = MIN(length, status.length);
  if (status.zero) {
    int64_t size = bg_node_size(bg_user_node(out));
    if (size < 0)
      return size;
    if (offset_out < (uint64_t)size) {
      length = MIN(length, size - offset_out);
      result = bg_user_zero(out, offset_out, length, BG_USER_ZERO_MAY_UNMAP);
      return result < 0 ? result : (ssize_t)length;
    }
  }
  struct iovec iov = {buffer, MIN(length, BGFS_MAX_REQUEST)};
  ssize_t got = bg_user_preadv(in, &iov, 1, offset_in);
  if (got <= 0)
    return got;
  iov.iov_len = got;
  return bg_user_pwritev(out, &iov, 1, offset_out);
}

static ssize_t copy(const Caller *caller, BgfsFs *fs, BgUser *in, uint64_t offset_in, BgUser *out, uint64_t offset_out,
                    size_t length)
{
  void *buffer = bgfs_buffer(fs);
  if (!buffer)
    return -ENOMEM;
  int64_t deadline = g_get_monotonic_time() + COPY_TIME;
  ssize_t result = 0;
  size_t done = 0;
  while (done < length) {
    int64_t size = bg_node_size(bg_user_node(in));
    if (size < 0 || offset_in + done >= (uint64_t)size) {
      result = MIN(size, 0);
      break;
    }
    result = copy_piece(in, offset_in + done, out, offset_out + done, length - done, buffer);
    if (result <= 0)
      break;
    done += result;
    if (has_given_up(caller) || g_get_monotonic_time() > deadline)
      break;
  }
  return done > 0 ? (ssize_t)done : result;
}

static void reply_copy(fuse_req_t req, int64_t result, const BgfsWaiting *waiting)
{
  (void)waiting;
  if (result < 0)
    fuse_reply_err(req, (int)-result);
  else
    fuse_reply_write(req, (size_t)result);
}

static int64_t run_copy(BgfsWaiting *waiting)
{
  const Caller caller = {.waiting = waiting};
  return copy(&caller, waiting->fs, waiting->handle->user, waiting->offset, waiting->other->user, waiting->other_offset,
              waiting->length);
}

static const BgfsWork copy_work = {run_copy, reply_copy};

void bgfs_op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t offset_in, struct fuse_file_info *fi_in,
                             fuse_ino_t ino_out, off_t offset_out, struct fuse_file_info *fi_out, size_t length,
                             int flags)
{
  (void)ino_in;
  (void)ino_out;
  BgfsHandle *in = bgfs_handle(fi_in);
  BgfsHandle *out = bgfs_handle(fi_out);
  ssize_t result;
  if (flags != 0)
    result = -EINVAL;
  else if (!in->inode || !out->inode)
    result = -EOPNOTSUPP;
  else if (bgfs_may_wait(in) || bgfs_may_wait(out)) {
    bgfs_waiting_run(
        req, in,
        &(BgfsWaiting){
            .work = &copy_work, .other = out, .offset = offset_in, .other_offset = offset_out, .length = length});
    return;
  } else
    result = copy(&(Caller){.req = req}, bgfs_fs(req), in->user, offset_in, out->user, offset_out, length);
  reply_copy(req, result, NULL);
}
