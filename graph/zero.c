#include "drivers/iov.h"
#include "graph/io.h"
#include "graph/run.h"

#include <errno.h>

/* A piece of a zero or discard request, cut into what fills whole granules and the rests at both ends. */
typedef struct Cut {
  uint64_t head, middle, tail; /* lengths; head from the start */
} Cut;

static Cut cut_granules(const BgNode *node, uint64_t offset, uint64_t length, uint64_t size)
{
  uint64_t granule = node->limits.granularity;
  uint64_t end = offset + length;
  uint64_t from = (offset + granule - 1) & ~(granule - 1);
  uint64_t to = end == size && !node->limits.grows ? end : end & ~(granule - 1);
  if (from >= to)
    return (Cut){length, 0, 0};
  return (Cut){from - offset, to - from, end - to};
}

/* Zeros as data, from one shared page run. */
static int write_zeros(BgNode *node, uint64_t offset, uint64_t length)
{
  static const char zeros[64 * 1024];
  while (length) {
    struct iovec iov[BG_IOV_MAX];
    int count = 0;
    uint64_t total = 0;
    while (count < BG_IOV_MAX && total < length) {
      size_t part = MIN(length - total, sizeof zeros);
      iov[count++] = (struct iovec){(void *)zeros, part};
      total += part;
    }
    int result = bg_io_pwritev_as_is(node, iov, count, offset);
    if (result)
      return result;
    offset += total;
    length -= total;
  }
  return 0;
}

/* A part of a granule: nothing to do if it reads as zeros already. */
static int zero_rest(BgNode *node, uint64_t offset, uint64_t length)
{
  if (!length)
    return 0;
  BgStatus status;
  int64_t size = bg_node_size_inside(node);
  if (size >= 0 && offset + length <= (uint64_t)size && bg_io_status(node, offset, length, &status) == 0 &&
      status.zero && status.length >= length)
    return 0;
  return write_zeros(node, offset, length);
}

/* Under the range's lock: the range is whole granules, but for the last at the end of the node. It was cut so before the lock was
 * held, and the size may have changed since. */
static bool is_still_whole(BgNode *node, uint64_t end)
{
  int64_t size = bg_node_size_inside(node);
  bool whole = (end & (node->limits.granularity - 1)) == 0;
  return size >= 0 && (end == (uint64_t)size || (whole && (node->limits.grows || end < (uint64_t)size)));
}

static int zero_granules(BgNode *node, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  BgRange range;
  bg_io_lock_granules(node, &range, offset, length, true);
  int result = -ENOTSUP;
  if (is_still_whole(node, offset + length))
    result = node->driver->zero(node->instance, offset, length, flags);
  bg_ranges_unlock(&node->ranges, &range);
  bg_io_wrote(node);
  return result;
}

static int zero_by_driver(BgNode *node, uint64_t offset, uint64_t length, uint64_t size, BgZeroFlags flags,
                          bool fallback)
{
  Cut cut = cut_granules(node, offset, length, size);
  if (cut.middle) {
    BgZeroFlags how = flags | (fallback ? BG_ZERO_NONE : BG_ZERO_NO_FALLBACK);
    int result = zero_granules(node, offset + cut.head, cut.middle, how);
    if (result == -ENOTSUP && fallback)
      result = write_zeros(node, offset + cut.head, cut.middle);
    if (result)
      return result;
  }
  int result = zero_rest(node, offset, cut.head);
  return result ? result : zero_rest(node, offset + cut.head + cut.middle, cut.tail);
}

/* Zeros below are zeros here. */
static bool is_plain(const BgExtent *run)
{
  return (run->flags & (BG_EXTENT_IN_PLACE | BG_EXTENT_ENCODED)) == BG_EXTENT_IN_PLACE;
}

/* Passes the request on to where the bytes are; of an opaque node, or where they are not in place, zeros are written. */
static int zero_below(BgNode *node, uint64_t offset, uint64_t length, BgZeroFlags flags, bool fallback)
{
  if (node->driver->preadv)
    return fallback ? write_zeros(node, offset, length) : -EOPNOTSUPP;
  BgRuns runs;
  bg_runs_init(&runs, node, offset, length);
  while (runs.position < runs.end) {
    uint64_t start = runs.position;
    BgExtent run;
    int result = bg_runs_next(&runs, &run);
    if (result)
      return result;
    if (is_plain(&run))
      result = bg_io_zero(bg_run_source(node, &run), run.offset, run.length, flags, fallback);
    else
      result = fallback ? write_zeros(node, start, run.length) : -EOPNOTSUPP;
    if (result)
      return result;
  }
  return 0;
}

int bg_io_zero(BgNode *node, uint64_t offset, uint64_t length, BgZeroFlags flags, bool fallback)
{
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return (int)size;
  if (!node->limits.grows) {
    if (offset >= (uint64_t)size)
      return 0;
    length = MIN(length, (uint64_t)size - offset);
  }
  if (!length)
    return 0;
  bg_io_will_change(node, offset, length);
  if (node->common.discard != BG_DISCARD_UNMAP)
    flags &= ~BG_ZERO_MAY_UNMAP;
  int result = node->driver->zero ? zero_by_driver(node, offset, length, (uint64_t)size, flags, fallback)
                                  : zero_below(node, offset, length, flags, fallback);
  if (result == 0)
    bg_io_wrote_up_to(node, offset + length);
  return result == -ENOTSUP ? -EOPNOTSUPP : result;
}

static int discard_below(BgNode *node, uint64_t offset, uint64_t length)
{
  BgRuns runs;
  if (node->driver->preadv)
    return 0;
  bg_runs_init(&runs, node, offset, length);
  while (runs.position < runs.end) {
    BgExtent run;
    int result = bg_runs_next(&runs, &run);
    if (result == 0 && is_plain(&run))
      result = bg_io_discard(bg_run_source(node, &run), run.offset, run.length);
    if (result)
      return result;
  }
  return 0;
}

int bg_io_discard(BgNode *node, uint64_t offset, uint64_t length)
{
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return (int)size;
  if (node->common.discard != BG_DISCARD_UNMAP || offset >= (uint64_t)size)
    return 0;
  length = MIN(length, (uint64_t)size - offset);
  bg_io_will_change(node, offset, length);
  if (!node->driver->discard)
    return discard_below(node, offset, length);
  Cut cut = cut_granules(node, offset, length, (uint64_t)size);
  if (!cut.middle)
    return 0;
  BgRange range;
  bg_io_lock_granules(node, &range, offset + cut.head, cut.middle, true);
  int result = 0;
  if (is_still_whole(node, offset + cut.head + cut.middle))
    result = node->driver->discard(node->instance, offset + cut.head, cut.middle);
  bg_ranges_unlock(&node->ranges, &range);
  bg_io_wrote(node);
  return result == -ENOTSUP ? 0 : result;
}
