#include "drivers/file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FALLBACK_ALIGNMENT 4096
#define MAX_ALIGNMENT      (1 << 20)

static void set_open_error(GError **error, int err, const char *name, bool writable, bool direct)
{
  const char *how = writable ? " read-write" : "";
  if (err == EAGAIN) /* of O_NONBLOCK: a lease that would have to be broken first */
    bg_set_error(error, EBUSY, "cannot open '%s'%s: another process holds a lease on it", name, how);
  else if (err == EINVAL && direct)
    bg_set_error(error, EINVAL, "cannot open '%s'%s: its file system does not support cache.direct (O_DIRECT)", name,
                 how);
  else if (err == EPERM && writable) /* as other permissions that the host denies */
    bg_set_error(error, EACCES, "cannot open '%s'%s: it is immutable, append-only or sealed", name, how);
  else
    bg_set_error_errno(error, err, "cannot open '%s'%s", name, how);
}

static const char *type_name(mode_t mode)
{
  switch (mode & S_IFMT) {
  case S_IFDIR:
    return "a directory";
  case S_IFCHR:
    return "a character device";
  case S_IFIFO:
    return "a FIFO";
  case S_IFSOCK:
    return "a socket";
  default:
    return "of an unknown type";
  }
}

int bg_file_open_again(int fd, const char *name, bool writable, bool direct, GError **error)
{
  char path[32];
  g_snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (direct ? O_DIRECT : 0);
  int again;
  do
    again = open(path, flags);
  while (again < 0 && errno == EINTR);
  if (again < 0)
    set_open_error(error, errno, name, writable, direct);
  return again;
}

/* What kind of file it is shows from an O_PATH descriptor: opening a device or FIFO could wait, or rewind a tape. */
int bg_file_open_by_name(const char *name, bool direct, struct stat *st, GError **error)
{
  int path_fd = open(name, O_PATH | O_CLOEXEC);
  if (path_fd < 0 || fstat(path_fd, st) < 0) {
    set_open_error(error, errno, name, false, false);
    if (path_fd >= 0)
      close(path_fd);
    return -1;
  }
  int fd = -1;
  if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
    fd = bg_file_open_again(path_fd, name, false, direct, error);
  else
    bg_set_error(error, S_ISDIR(st->st_mode) ? EISDIR : EINVAL,
                 "cannot open '%s': it is %s, not a regular file or block device", name, type_name(st->st_mode));
  close(path_fd);
  return fd;
}

/* Whether a read of 512 bytes at 512 works: some file systems do not tell. An empty file cannot show it. */
static bool reads_512(int fd)
{
  void *memory;
  if (posix_memalign(&memory, 1024, 1024) != 0)
    return false;
  bool works = pread(fd, (char *)memory + 512, 512, 0) > 0;
  free(memory);
  return works;
}

static uint32_t guess_alignment(int fd, const struct stat *st)
{
  int block;
  if (S_ISBLK(st->st_mode) && ioctl(fd, BLKSSZGET, &block) == 0 && block > 0)
    return (uint32_t)block;
  return reads_512(fd) ? 512 : FALLBACK_ALIGNMENT;
}

uint32_t bg_file_direct_alignment(int fd, const char *name, const struct stat *st, GError **error)
{
  struct statx stx = {0};
  uint32_t alignment = 0;
#ifdef STATX_DIOALIGN
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && stx.stx_mask & STATX_DIOALIGN) {
    if (stx.stx_dio_offset_align == 0) {
      set_open_error(error, EINVAL, name, false, true);
      return 0;
    }
    alignment = MAX(stx.stx_dio_offset_align, stx.stx_dio_mem_align);
  }
#endif
  if (alignment == 0)
    alignment = guess_alignment(fd, st);
  if (alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0) {
    bg_set_error(error, EINVAL, "cannot open '%s': direct requests would have to be aligned to %u bytes", name,
                 alignment);
    return 0;
  }
  return alignment;
}

int64_t bg_file_size(int fd, bool block_device)
{
  struct stat st;
  uint64_t bytes;
  if (block_device)
    return ioctl(fd, BLKGETSIZE64, &bytes) < 0 ? -errno : (int64_t)bytes;
  return fstat(fd, &st) < 0 ? -errno : st.st_size;
}
