#include "drivers/iov.h"
#include "graph/io.h"

#include <errno.h>

/* Where a disk ends within a granule that it has not allocated, its longer backing disk would show in the rest of that granule: the
 * one place that a growing driver cannot clear, for it knows nothing of its backing child. The whole node is held. */
static int clear_last_granule(BgNode *node, uint64_t old_size, uint64_t size)
{
  static const char zeros[64 * 1024];
  uint64_t granule = node->limits.granularity;
  uint64_t end = MIN((old_size + granule - 1) & ~(granule - 1), size);
  BgStatus status = {false, 0};
  if (old_size < end && bg_io_status(node, old_size, end - old_size, &status) == 0 && status.zero)
    old_size += status.length;
  while (old_size < end) {
    struct iovec iov = {(void *)zeros, MIN(end - old_size, sizeof zeros)};
    int result = bg_io_write_held(node, &iov, 1, old_size);
    if (result)
      return result;
    old_size += iov.iov_len;
  }
  return 0;
}

/* The whole node is held; its bitmaps have the larger of both sizes. */
static int resize_marked(BgNode *node, int64_t old_size, uint64_t size)
{
  int result = node->driver->resize(node->instance, size);
  if (result || size <= (uint64_t)old_size || !bg_node_edge_by_role(node, BG_ROLE_COW))
    return result;
  result = clear_last_granule(node, (uint64_t)old_size, size);
  if (result && node->driver->resize(node->instance, (uint64_t)old_size))
    g_warning("node '%s': could not be brought back to its old size", node->name);
  return result;
}

/* The whole node is held. */
static int resize_held(BgNode *node, uint64_t size)
{
  int64_t old_size = bg_node_size_inside(node);
  if (old_size < 0)
    return (int)old_size;
  if (node->before_write && size < (uint64_t)old_size)
    bg_io_before_write(node, size, (uint64_t)old_size - size);
  bg_bitmaps_grow(node->host.bitmaps, size);
  int result = resize_marked(node, old_size, size);
  int64_t new_size = bg_node_size_inside(node);
  if (new_size >= 0)
    bg_bitmaps_resize(node->host.bitmaps, (uint64_t)new_size);
  return result;
}

int bg_io_resize(BgNode *node, uint64_t size)
{
  if (!node->driver->resize)
    return -EFBIG;
  BgRange range;
  bg_ranges_lock(&node->ranges, &range, 0, UINT64_MAX, true);
  int result = resize_held(node, size);
  bg_ranges_unlock(&node->ranges, &range);
  bg_io_wrote(node);
  return result;
}

int bg_io_grow(BgNode *node, uint64_t size)
{
  if (!node->driver->resize)
    return -ENOSPC;
  BgRange range;
  bg_ranges_lock(&node->ranges, &range, 0, UINT64_MAX, true);
  int64_t now = bg_node_size_inside(node);
  int result = now < 0 ? (int)now : (uint64_t)now < size ? resize_held(node, size) : 0;
  bg_ranges_unlock(&node->ranges, &range);
  bg_io_wrote(node);
  return result;
}
