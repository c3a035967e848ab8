/* Writes in the form that a driver calls special: whole special granules, for which the core reads what the caller does not write. */
#include "drivers/iov.h"
#include "graph/io.h"

#include <errno.h>
#include <stdlib.h>

/* The part [from, to) of a request that falls into one special granule, [start, end) (cut by the end of the disk). */
typedef struct Part {
  uint64_t start, end, from, to;
  struct iovec iov[BG_IOV_MAX];
  int iovcnt;
} Part;

static int write_whole(BgNode *node, const Part *part)
{
  return node->driver->pwritev_special(node->instance, part->iov, part->iovcnt, part->start);
}

static int write_around(BgNode *node, const Part *part)
{
  uint64_t length = part->end - part->start;
  void *buffer = malloc(length);
  if (!buffer)
    return -ENOMEM;
  struct iovec whole = {buffer, length};
  int result = bg_io_preadv(node, &whole, 1, part->start);
  if (result == 0) {
    bg_iov_to_buffer(part->iov, part->iovcnt, 0, (char *)buffer + (part->from - part->start), part->to - part->from);
    result = node->driver->pwritev_special(node->instance, &whole, 1, part->start);
  }
  free(buffer);
  return result;
}

static int write_part(BgNode *node, const Part *part)
{
  bool whole = part->from == part->start && part->to == part->end;
  int result = (whole ? write_whole : write_around)(node, part);
  return result == -ENOTSUP ? bg_io_write_held(node, part->iov, part->iovcnt, part->from) : result;
}

static int write_parts(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t size)
{
  uint64_t granule = node->limits.special_granularity, end = offset + bg_iov_length(iov, iovcnt);
  for (Part part = {.from = offset}; part.from < end; part.from = part.to) {
    part.start = part.from & ~(granule - 1);
    part.end = MIN(part.start + granule, size);
    part.to = MIN(part.end, end);
    part.iovcnt = bg_iov_slice(iov, iovcnt, part.from - offset, part.to - part.from, part.iov);
    int result = write_part(node, &part);
    if (result)
      return result;
  }
  return 0;
}

int bg_io_pwritev_special_as_is(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  uint64_t granule = node->limits.special_granularity, length = bg_iov_length(iov, iovcnt);
  if (!granule)
    return bg_io_pwritev_as_is(node, iov, iovcnt, offset);
  if (iovcnt > BG_IOV_MAX)
    return -EINVAL;
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return (int)size;
  if (offset > (uint64_t)size || length > (uint64_t)size - offset)
    return -ENOSPC;
  uint64_t start = offset & ~(granule - 1), end = (offset + length + granule - 1) & ~(granule - 1);
  bg_io_will_change(node, offset, length);
  BgRange range;
  bg_ranges_lock(&node->ranges, &range, start, end - start, true);
  int result = write_parts(node, iov, iovcnt, offset, (uint64_t)size);
  bg_ranges_unlock(&node->ranges, &range);
  bg_io_wrote(node);
  if (result == 0)
    bg_io_wrote_up_to(node, offset + length);
  return result;
}
