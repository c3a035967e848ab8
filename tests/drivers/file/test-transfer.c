#include "drivers/file/transfer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

TestSuite(transfer, .timeout = 60);

/* More entries than one system call takes, some of them empty. */
#define ENTRIES (3 * IOV_MAX + 7)

Test(transfer, vectors_of_any_length)
{
  int fd = memfd_create("transfer", MFD_CLOEXEC);
  g_autofree struct iovec *iov = g_new(struct iovec, ENTRIES);
  g_autofree char *out = g_malloc(ENTRIES * 3), *in = g_malloc(ENTRIES * 3);
  size_t length = 0;
  for (int i = 0; i < ENTRIES; i++) {
    iov[i] = (struct iovec){out + length, (size_t)(i % 4)};
    length += iov[i].iov_len;
  }
  for (size_t i = 0; i < length; i++)
    out[i] = (char)(i * 7 + i / 251);
  cr_assert_eq(bg_file_write(fd, iov, ENTRIES, 5), 0);
  cr_assert_eq(pread(fd, in, length, 5), (ssize_t)length);
  cr_assert_eq(memcmp(in, out, length), 0);

  for (int i = 0; i < ENTRIES; i++)
    iov[i].iov_base = in + ((char *)iov[i].iov_base - out);
  memset(in, '?', length);
  cr_assert_eq(bg_file_read(fd, iov, ENTRIES, 5, 1), 0);
  cr_assert_eq(memcmp(in, out, length), 0);

  /* From the middle on past the end. */
  size_t half = length / 2;
  cr_assert_eq(bg_file_read(fd, iov, ENTRIES, 5 + half, 1), 0);
  cr_assert_eq(memcmp(in, out + half, length - half), 0);
  for (size_t i = length - half; i < length; i++)
    cr_assert_eq(in[i], 0);
  close(fd);
}

Test(transfer, errors_keep_their_errno)
{
  char byte = 'a';
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_file_read(-1, &iov, 1, 0, 1), -EBADF);
  cr_assert_eq(bg_file_write(-1, &iov, 1, 0), -EBADF);
  int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
  cr_assert_eq(bg_file_write(fd, &iov, 1, 0), -ENOSPC);
  close(fd);
  cr_assert_eq(byte, 'a');
}

Test(transfer, nothing_to_do)
{
  struct iovec iov = {NULL, 0};
  cr_assert_eq(bg_file_read(-1, &iov, 1, 0, 1), 0);
  cr_assert_eq(bg_file_write(-1, NULL, 0, 0), 0);
}
