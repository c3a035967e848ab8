#include "drivers/file/space.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef enum {
  WAY_PUNCH = 1 << 0,
  WAY_ZERO_RANGE = 1 << 1,
  WAY_ALLOCATE = 1 << 2,
  WAY_BLKZEROOUT = 1 << 3,
  WAY_BLKDISCARD = 1 << 4
} Way;

static int run(Way way, int fd, uint64_t offset, uint64_t length)
{
  uint64_t range[2] = {offset, length};
  switch (way) {
  case WAY_PUNCH:
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
  case WAY_ZERO_RANGE:
    return fallocate(fd, FALLOC_FL_ZERO_RANGE, (off_t)offset, (off_t)length);
  case WAY_ALLOCATE:
    return fallocate(fd, 0, (off_t)offset, (off_t)length);
  case WAY_BLKZEROOUT:
    return ioctl(fd, BLKZEROOUT, range);
  case WAY_BLKDISCARD:
    return ioctl(fd, BLKDISCARD, range);
  }
  g_assert_not_reached();
}

/* -ENOTSUP from then on once the file system has said that it knows no such thing. EINVAL may be about this range alone. */
static int try(BgFileSpace *space, Way way, int fd, uint64_t offset, uint64_t length)
{
  if (__atomic_load_n(&space->unsupported, __ATOMIC_RELAXED) & way)
    return -ENOTSUP;
  int rc;
  do
    rc = run(way, fd, offset, length) < 0 ? -errno : 0;
  while (rc == -EINTR);
  if (rc == -EINVAL)
    return -ENOTSUP;
  if (rc != -EOPNOTSUPP && rc != -ENOSYS && rc != -ENOTTY && rc != -ENODEV)
    return rc;
  __atomic_or_fetch(&space->unsupported, way, __ATOMIC_RELAXED);
  return -ENOTSUP;
}

/* Makes the file at least `end` bytes long. Never shorter: others may be making it longer at the same time, so no ftruncate() where the
 * last byte can be allocated or written instead. */
static int grow(BgFileSpace *space, int fd, uint64_t end)
{
  struct stat st;
  if (fstat(fd, &st) < 0)
    return -errno;
  if ((uint64_t)st.st_size >= end)
    return 0;
  int rc = try(space, WAY_ALLOCATE, fd, end - 1, 1);
  if (rc != -ENOTSUP)
    return rc;
  if (pwrite(fd, "", 1, (off_t)(end - 1)) == 1)
    return 0;
  if (errno != EINVAL) /* O_DIRECT */
    return -errno;
  return ftruncate(fd, (off_t)end) < 0 ? -errno : 0;
}

static int punch_and_grow(BgFileSpace *space, int fd, uint64_t offset, uint64_t length)
{
  int rc = try(space, WAY_PUNCH, fd, offset, length);
  return rc < 0 ? rc : grow(space, fd, offset + length);
}

/* Where there is no ZERO_RANGE (tmpfs): gives the space back and takes it anew. */
static int punch_and_allocate(BgFileSpace *space, int fd, uint64_t offset, uint64_t length)
{
  int rc = try(space, WAY_PUNCH, fd, offset, length);
  if (rc < 0)
    return rc;
  rc = try(space, WAY_ALLOCATE, fd, offset, length);
  return rc == -ENOTSUP ? grow(space, fd, offset + length) : rc;
}

static int zero_device(BgFileSpace *space, int fd, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  int rc = flags & BG_ZERO_MAY_UNMAP ? try(space, WAY_PUNCH, fd, offset, length) : -ENOTSUP;
  if (rc == -ENOTSUP)
    rc = try(space, WAY_ZERO_RANGE, fd, offset, length);
  return rc == -ENOTSUP ? try(space, WAY_BLKZEROOUT, fd, offset, length) : rc;
}

/* ── where data was found ── */

void bg_file_space_init(BgFileSpace *space)
{
  *space = (BgFileSpace){0};
  pthread_mutex_init(&space->lock, NULL);
}

void bg_file_space_clear(BgFileSpace *space)
{
  pthread_mutex_destroy(&space->lock);
}

void bg_file_space_forget(BgFileSpace *space)
{
  pthread_mutex_lock(&space->lock);
  space->start = space->end = 0;
  space->holes++;
  pthread_mutex_unlock(&space->lock);
}

/* How far data goes from `offset` on, as is remembered; 0: it is not. *holes: for remember(). */
static uint64_t recall(BgFileSpace *space, uint64_t offset, unsigned *holes)
{
  pthread_mutex_lock(&space->lock);
  uint64_t length = offset >= space->start && offset < space->end ? space->end - offset : 0;
  *holes = space->holes;
  pthread_mutex_unlock(&space->lock);
  return length;
}

/* Unless holes were made since recall(). */
static void remember(BgFileSpace *space, uint64_t start, uint64_t end, unsigned holes)
{
  pthread_mutex_lock(&space->lock);
  if (space->holes == holes) {
    space->start = start;
    space->end = end;
  }
  pthread_mutex_unlock(&space->lock);
}

/* ── changing it ── */

static int zero(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  if (block_device)
    return zero_device(space, fd, offset, length, flags);
  int rc = flags & BG_ZERO_MAY_UNMAP ? punch_and_grow(space, fd, offset, length) : -ENOTSUP;
  if (rc == -ENOTSUP)
    rc = try(space, WAY_ZERO_RANGE, fd, offset, length);
  return rc == -ENOTSUP ? punch_and_allocate(space, fd, offset, length) : rc;
}

int bg_file_zero(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  int rc = length == 0 ? 0 : zero(space, fd, block_device, offset, length, flags);
  bg_file_space_forget(space);
  return rc;
}

int bg_file_discard(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length)
{
  int rc = length == 0 ? 0 : try(space, block_device ? WAY_BLKDISCARD : WAY_PUNCH, fd, offset, length);
  bg_file_space_forget(space);
  return rc;
}

void bg_file_map(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length, BgExtent *extent)
{
  *extent = (BgExtent){.kind = BG_EXTENT_DATA, .flags = BG_EXTENT_IN_PLACE, .length = length, .offset = offset};
  unsigned holes = 0;
  uint64_t known = block_device ? length : recall(space, offset, &holes);
  if (known) {
    extent->length = MIN(length, known);
    return;
  }
  off_t start = (off_t)offset, data = lseek(fd, start, SEEK_DATA);
  if (data < 0 && errno != ENXIO)
    return;
  off_t hole = data == start ? lseek(fd, start, SEEK_HOLE) : -1;
  if (data == start && hole > start) {
    remember(space, offset, (uint64_t)hole, holes);
    extent->length = MIN(length, (uint64_t)(hole - start));
  } else if (data < 0 || data > start) /* no data from here on, or some later */
    *extent = (BgExtent){.kind = BG_EXTENT_ZERO, .length = data < 0 ? length : MIN(length, (uint64_t)(data - start))};
}
