#include "fs/device.h"

#include "fs/fs.h"

#include <errno.h>
#include <unistd.h>

/* libfuse may cancel the threads that read. */
static void tell_gone(BgfsFs *fs)
{
  int state;
  int err = errno;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  fs->gone(fs->callback_data);
  pthread_setcancelstate(state, NULL);
  errno = err;
}

static ssize_t read_request(int fd, void *buffer, size_t size, void *data)
{
  BgfsFs *fs = data;
  int64_t begun = bgfs_busy_poll_begin(&fs->busy_poll, fd);
  ssize_t got = read(fd, buffer, size);
  bgfs_busy_poll_end(&fs->busy_poll, begun);
  if (got < 0 && errno == ENODEV)
    tell_gone(fs);
  if (got > 0)
    bgfs_init_reply_request(&fs->init_reply, buffer, got);
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
