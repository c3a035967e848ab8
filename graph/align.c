#include "graph/align.h"

#include "drivers/iov.h"

#include <errno.h>
#include <stdlib.h>

#define BOUNCE_SIZE (1024u * 1024u)

static bool fits(const BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  uint32_t alignment = node->limits.request_alignment;
  return alignment <= 1 || (offset % alignment == 0 && bg_iov_is_aligned(iov, iovcnt, alignment));
}

static void *bounce_new(const BgNode *node, uint64_t length)
{
  void *buffer = NULL;
  uint32_t alignment = MAX(node->limits.request_alignment, (uint32_t)sizeof(void *));
  return posix_memalign(&buffer, alignment, length) == 0 ? buffer : NULL;
}

static uint64_t align_down(const BgNode *node, uint64_t value)
{
  return value & ~(uint64_t)(node->limits.request_alignment - 1);
}

static uint64_t align_up(const BgNode *node, uint64_t value)
{
  return align_down(node, value + node->limits.request_alignment - 1);
}

static int read_aligned(BgNode *node, void *buffer, uint64_t length, uint64_t offset)
{
  struct iovec iov = {buffer, length};
  return node->driver->preadv(node->instance, &iov, 1, offset);
}

static int bounce_read(BgNode *node, void *bounce, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  uint64_t total = bg_iov_length(iov, iovcnt);
  for (uint64_t done = 0; done < total;) {
    uint64_t length = MIN(total - done, BOUNCE_SIZE);
    uint64_t start = align_down(node, offset + done);
    int result = read_aligned(node, bounce, align_up(node, offset + done + length) - start, start);
    if (result)
      return result;
    bg_iov_from_buffer(iov, iovcnt, done, (char *)bounce + (offset + done - start), length);
    done += length;
  }
  return 0;
}

int bg_align_preadv(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (fits(node, iov, iovcnt, offset))
    return node->driver->preadv(node->instance, iov, iovcnt, offset);
  void *bounce = bounce_new(node, BOUNCE_SIZE + 2ull * node->limits.request_alignment);
  if (!bounce)
    return -ENOMEM;
  int result = bounce_read(node, bounce, iov, iovcnt, offset);
  free(bounce);
  return result;
}

/* Reads what of [start, end) the data does not cover, so that it can be written whole. */
static int read_edges(BgNode *node, char *bounce, uint64_t start, uint64_t end, uint64_t from, uint64_t to)
{
  uint32_t alignment = node->limits.request_alignment;
  if (from > start) {
    int result = read_aligned(node, bounce, alignment, start);
    if (result)
      return result;
  }
  if (to < end && (end - start > alignment || from == start))
    return read_aligned(node, bounce + (end - start - alignment), alignment, end - alignment);
  return 0;
}

static int bounce_write(BgNode *node, char *bounce, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  uint64_t total = bg_iov_length(iov, iovcnt);
  for (uint64_t done = 0; done < total;) {
    uint64_t length = MIN(total - done, BOUNCE_SIZE);
    uint64_t from = offset + done, to = from + length;
    uint64_t start = align_down(node, from), end = align_up(node, to);
    int result = read_edges(node, bounce, start, end, from, to);
    if (result)
      return result;
    bg_iov_to_buffer(iov, iovcnt, done, bounce + (from - start), length);
    struct iovec whole = {bounce, end - start};
    result = node->driver->pwritev(node->instance, &whole, 1, start);
    if (result)
      return result;
    done += length;
  }
  return 0;
}

/* An unaligned write past the end of a growing node must not leave it longer than asked for. */
static int write_bounced(BgNode *node, char *bounce, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return (int)size;
  uint64_t end = offset + bg_iov_length(iov, iovcnt);
  int result = bounce_write(node, bounce, iov, iovcnt, offset);
  uint64_t wanted = MAX((uint64_t)size, end);
  if (result == 0 && align_up(node, end) > wanted && node->driver->resize)
    result = node->driver->resize(node->instance, wanted);
  return result;
}

static bool reaches_past_end(BgNode *node, uint64_t end)
{
  int64_t size = bg_node_size_inside(node);
  return size >= 0 && end > (uint64_t)size;
}

/* Aligned writes share their range. Others hold it alone; and the whole node if they reach past its end, which they may have to set
 * back afterwards: that must not cut off what another has written there meanwhile. */
static void lock_blocks(BgNode *node, BgRange *range, uint64_t start, uint64_t end, bool aligned)
{
  if (aligned || !reaches_past_end(node, end)) {
    bg_ranges_lock(&node->ranges, range, start, end - start, !aligned);
    if (aligned || !reaches_past_end(node, end))
      return;
    bg_ranges_unlock(&node->ranges, range);
  }
  bg_ranges_lock(&node->ranges, range, 0, UINT64_MAX, true);
}

int bg_align_pwritev(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (node->limits.request_alignment <= 1)
    return node->driver->pwritev(node->instance, iov, iovcnt, offset);
  uint64_t start = align_down(node, offset);
  uint64_t end = align_up(node, offset + bg_iov_length(iov, iovcnt));
  bool direct = fits(node, iov, iovcnt, offset);
  BgRange range;
  lock_blocks(node, &range, start, end, direct);
  int result = -ENOMEM;
  char *bounce = direct ? NULL : bounce_new(node, BOUNCE_SIZE + 2ull * node->limits.request_alignment);
  if (direct)
    result = node->driver->pwritev(node->instance, iov, iovcnt, offset);
  else if (bounce)
    result = write_bounced(node, bounce, iov, iovcnt, offset);
  free(bounce);
  bg_ranges_unlock(&node->ranges, &range);
  return result;
}
