#include "drivers/file/file.h"
#include "drivers/file/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PREALLOCATION_OFF, PREALLOCATION_FALLOC, PREALLOCATION_FULL };

static const char *const preallocations[] = {"off", "falloc", "full", NULL};

const BgOption bg_file_create_options[] = {
    {"filename", BG_OPTION_STRING, offsetof(BgFileCreateOptions, filename), .required = true,
     .help = "name of the new file"},
    {"preallocation", BG_OPTION_ENUM, offsetof(BgFileCreateOptions, preallocation), .values = preallocations,
     .help = "whether space is taken at once: off, falloc (allocated) or full (written)"},
    {NULL}};

static int write_zeros(int fd, uint64_t size)
{
  const size_t chunk = (size_t)1 << 20;
  g_autofree void *zeros = g_malloc0(chunk);
  for (uint64_t offset = 0; offset < size; offset += chunk) {
    struct iovec iov = {zeros, MIN(chunk, size - offset)};
    int rc = bg_file_write(fd, &iov, 1, offset);
    if (rc < 0)
      return rc;
  }
  return 0;
}

static int give_size(int fd, uint64_t size, int preallocation)
{
  if (size > INT64_MAX)
    return -EFBIG;
  if (preallocation == PREALLOCATION_FULL)
    return write_zeros(fd, size);
  if (preallocation == PREALLOCATION_FALLOC && size > 0)
    return fallocate(fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
  return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

bool bg_file_create(const BgCreate *create, GError **error)
{
  const BgFileCreateOptions *options = create->options;
  int fd = open(options->filename, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0644);
  if (fd < 0) {
    bg_set_error_errno(error, errno, "cannot create '%s'", options->filename);
    return false;
  }
  int rc = give_size(fd, create->size, options->preallocation);
  if (close(fd) < 0 && rc == 0)
    rc = -errno;
  if (rc == 0)
    return true;
  unlink(options->filename);
  bg_set_error_errno(error, -rc, "cannot create '%s'", options->filename);
  return false;
}
