#include "fs/device.h"

#include "fs/buffer.h"
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

/* ── io_uring ── */

static void serve(void *data, const void *request, size_t length, void *payload)
{
  BgfsFs *fs = data;
  bgfs_buffer_lend(fs, payload);
  fuse_session_process_buf(fs->session, &(struct fuse_buf){.size = length, .mem = (void *)request});
  bgfs_buffer_lend(fs, NULL);
}

/* Between the request INIT and its reply: once the kernel has agreed it waits for the ring. */
static void prepare_ring(BgfsFs *fs)
{
  const BgfsRingServer server = {fuse_session_fd(fs->session), BGFS_MAX_REQUEST, serve, fs};
  g_autoptr(GError) error = NULL;
  if (!fs->wants_ring || fs->ring || !bgfs_init_reply_offers_ring(&fs->init_reply))
    return;
  BgfsRing *ring = bgfs_ring_new(&server, &error);
  if (!ring)
    g_debug("requests come from /dev/fuse: %s", error->message);
  fs->init_reply.wants_ring = ring;
  fs->ring = ring;
}

/* ── /dev/fuse ── */

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
  if (got > 0 && bgfs_init_reply_request(&fs->init_reply, buffer, got))
    prepare_ring(fs);
  errno = err;
  return got;
}

static ssize_t length_of(const struct iovec *iov, int count)
{
  ssize_t length = 0;
  for (int i = 0; i < count; i++)
    length += iov[i].iov_len;
  return length;
}

static ssize_t write_reply(int fd, struct iovec *iov, int count, void *data)
{
  BgfsFs *fs = data;
  if (bgfs_ring_answer(fs->ring, iov, count))
    return length_of(iov, count);
  bool init = bgfs_init_reply_patch(&fs->init_reply, iov, count);
  ssize_t written = writev(fd, iov, count);
  int err = errno;
  if (init && fs->init_reply.ring && written >= 0)
    bgfs_ring_go(fs->ring);
  errno = err;
  return written;
}

int bgfs_device_install(BgfsFs *fs)
{
  const struct fuse_custom_io io = {.read = read_request, .writev = write_reply};
  return fuse_session_custom_io(fs->session, &io, fuse_session_fd(fs->session));
}

void bgfs_device_stop(BgfsFs *fs)
{
  bgfs_ring_stop(fs->ring);
}

void bgfs_device_clear(BgfsFs *fs)
{
  bgfs_ring_free(fs->ring);
  fs->ring = NULL;
}
