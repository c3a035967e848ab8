/* Bringing what a disk shows of those below into its own image, while others write to it. */
#include "graph/io.h"
#include "graph/map.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Whether it would read otherwise if the disks next below were others. */
static bool is_to_copy(const BgMapped *mapped, unsigned depth)
{
  if (mapped->depth >= depth || (mapped->depth == 0 && mapped->present))
    return false;
  return mapped->present || depth != UINT_MAX;
}

static int fill(BgNode *node, const BgMapped *mapped, void *buffer)
{
  struct iovec iov = {buffer, mapped->length};
  int result = 0;
  if (mapped->zero)
    memset(buffer, 0, mapped->length);
  else
    result = bg_io_preadv(node, &iov, 1, mapped->start);
  return result ? result : bg_io_fill_held(node, &iov, 1, mapped->start);
}

/* -ENOTSUP: nothing was done. */
static int zero_whole(BgNode *node, const BgMapped *mapped)
{
  uint64_t mask = node->limits.granularity - 1, end = mapped->start + mapped->length;
  bool whole = (mapped->start & mask) == 0 && ((end & mask) == 0 || (int64_t)end == bg_node_size_inside(node));
  return whole && node->driver->zero ? node->driver->zero(node->instance, mapped->start, mapped->length, BG_ZERO_NONE)
                                     : -ENOTSUP;
}

static int populate_held(BgNode *node, uint64_t offset, uint64_t end, unsigned depth, void *buffer)
{
  while (offset < end) {
    BgMapped mapped;
    int result = bg_io_map(node, offset, end - offset, &mapped);
    if (result)
      return result;
    if (is_to_copy(&mapped, depth)) {
      result = mapped.zero ? zero_whole(node, &mapped) : -ENOTSUP;
      if (result == -ENOTSUP)
        result = fill(node, &mapped, buffer);
    }
    if (result)
      return result;
    offset += mapped.length;
  }
  return 0;
}

int bg_io_populate(BgNode *node, uint64_t offset, uint64_t length, unsigned depth, void *buffer)
{
  BgRange range;
  if (!node->driver->reserve)
    return -EOPNOTSUPP;
  bg_io_lock_granules(node, &range, offset, length, true);
  int result = populate_held(node, offset, offset + length, depth, buffer);
  bg_ranges_unlock(&node->ranges, &range);
  bg_io_wrote(node);
  return result;
}
