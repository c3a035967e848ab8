#include "fs/device.h"

#include "fs/fs.h"
#include "fs/request.h"

#include <errno.h>
#include <unistd.h>

/* Where libfuse cancels its threads once the mount is gone, and nowhere else: one that is cancelled while libfuse prints why reading failed keeps the
 * lock of stderr. */
static ssize_t read_cancellable(int fd, void *buffer, size_t size)
{
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  ssize_t got = read(fd, buffer, size);
  int err = errno;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  errno = err;
  return got;
}

/* The mount went, perhaps with the request that was just being read (ECONNABORTED). */
static bool is_gone(int err)
{
  return err == ENODEV || err == ECONNABORTED;
}

static ssize_t read_request(int fd, void *buffer, size_t size, void *data)
{
  BgfsFs *fs = data;
  BgfsTurn turn = bgfs_readers_begin(&fs->readers, fd);
  ssize_t got = read_cancellable(fd, buffer, size);
  int err = errno;
  bgfs_readers_end(&fs->readers, turn, fd, bgfs_request_is_quick(buffer, MAX(got, 0)));
  if (got < 0 && is_gone(err)) {
    fs->gone(fs->callback_data);
    err = ENODEV; /* no failure, to libfuse */
  }
  if (got > 0)
    bgfs_init_reply_request(&fs->init_reply, buffer, got);
  errno = err;
  return got;
}

static ssize_t write_reply(int fd, struct iovec *iov, int count, void *data)
{
  BgfsFs *fs = data;
  bgfs_init_reply_patch(&fs->init_reply, iov, count);
  return writev(fd, iov, count);
}

int bgfs_device_install(struct fuse_session *session)
{
  const struct fuse_custom_io io = {.read = read_request, .writev = write_reply};
  return fuse_session_custom_io(session, &io, fuse_session_fd(session));
}
