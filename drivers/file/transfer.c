#include "drivers/file/transfer.h"

#include "drivers/iov.h"

#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <unistd.h>

typedef ssize_t (*Transfer)(int fd, const struct iovec *iov, int iovcnt, off_t offset);

/* Transfers as much as one system call takes of what is left after `done` bytes. */
static ssize_t transfer_rest(Transfer transfer, int fd, const struct iovec *iov, int iovcnt, uint64_t offset,
                             size_t done)
{
  struct iovec batch[IOV_MAX];
  size_t skip = done;
  while (iovcnt > 0 && skip >= iov->iov_len) {
    skip -= iov->iov_len;
    iov++, iovcnt--;
  }
  int count = bg_iov_slice(iov, MIN(iovcnt, IOV_MAX), skip, SIZE_MAX, batch);
  return transfer(fd, batch, count, (off_t)(offset + done));
}

/* One system call, repeated when a signal came first. Bytes, 0 at the end of the file, or -errno. */
static ssize_t transfer_some(Transfer transfer, int fd, const struct iovec *iov, int iovcnt, uint64_t offset,
                             size_t done)
{
  ssize_t rc;
  do
    rc = done == 0 && iovcnt <= IOV_MAX ? transfer(fd, iov, iovcnt, (off_t)offset)
                                        : transfer_rest(transfer, fd, iov, iovcnt, offset, done);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : rc;
}

int bg_file_read(int fd, const struct iovec *iov, int iovcnt, uint64_t offset, uint32_t alignment)
{
  size_t length = bg_iov_length(iov, iovcnt), done = 0;
  while (done < length) {
    ssize_t rc = transfer_some(preadv, fd, iov, iovcnt, offset, done);
    if (rc < 0)
      return (int)rc;
    done += (size_t)rc;
    /* A direct read that stops between blocks has met the end of the file, and could not go on from there anyway. */
    if (rc == 0 || done % alignment != 0)
      break;
  }
  bg_iov_zero(iov, iovcnt, done, length - done);
  return 0;
}

int bg_file_write(int fd, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  size_t length = bg_iov_length(iov, iovcnt), done = 0;
  while (done < length) {
    ssize_t rc = transfer_some(pwritev, fd, iov, iovcnt, offset, done);
    if (rc < 0)
      return (int)rc;
    if (rc == 0)
      return -ENOSPC;
    done += (size_t)rc;
  }
  return 0;
}
