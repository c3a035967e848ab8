#include "drivers/iov.h"
#include "graph/align.h"
#include "graph/encoded.h"
#include "graph/io.h"
#include "graph/run.h"

#include <errno.h>
#include <stdlib.h>

/* One request on its way through a mapped node. */
typedef struct Write {
  BgNode *node;
  const struct iovec *iov;
  int iovcnt;
  uint64_t offset, length;
  uint64_t done;
} Write;

static int slice(const Write *write, uint64_t length, struct iovec *part)
{
  return bg_iov_slice(write->iov, write->iovcnt, write->done, length, part);
}

static int write_run(Write *write, const BgExtent *run)
{
  struct iovec part[BG_IOV_MAX];
  int count = slice(write, run->length, part);
  if (run->flags & BG_EXTENT_ENCODED)
    return bg_encoded_write(write->node, run, part, count, write->offset + write->done);
  return run->child->ops->pwritev(run->child, part, count, run->offset);
}

/* Writes what can be overwritten where it is, up to the first byte that cannot. */
static int write_in_place(Write *write)
{
  BgRuns runs;
  bg_runs_init(&runs, write->node, write->offset + write->done, write->length - write->done);
  while (runs.position < runs.end) {
    BgExtent run;
    int result = bg_runs_next(&runs, &run);
    if (result)
      return result;
    if (!(run.flags & BG_EXTENT_IN_PLACE))
      return 0;
    result = write_run(write, &run);
    if (result)
      return result;
    write->done += run.length;
  }
  return 0;
}

/* How many bytes from here on need new space. */
static int length_to_allocate(const Write *write, uint64_t *length)
{
  BgRuns runs;
  uint64_t start = write->offset + write->done;
  bg_runs_init(&runs, write->node, start, write->length - write->done);
  *length = 0;
  while (runs.position < runs.end) {
    BgExtent run;
    int result = bg_runs_next(&runs, &run);
    if (result)
      return result;
    if (run.flags & BG_EXTENT_IN_PLACE)
      break;
    *length += run.length;
  }
  return *length ? 0 : -EIO;
}

/* What of a reservation the caller's data does not cover, on one side of it. */
typedef struct Fill {
  void *buffer; /* NULL: nothing to write */
  uint64_t length;
} Fill;

static int fill_make(BgNode *node, uint64_t offset, uint64_t length, bool reads_zero, Fill *fill)
{
  *fill = (Fill){NULL, length};
  if (!length)
    return 0;
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return (int)size;
  uint64_t inside = offset < (uint64_t)size ? MIN(length, (uint64_t)size - offset) : 0;
  if (reads_zero && (!inside || bg_io_reads_zero(node, offset, inside)))
    return 0;
  void *buffer = malloc(length);
  if (!buffer)
    return -ENOMEM;
  struct iovec iov = {buffer, length};
  int result = bg_io_preadv(node, &iov, 1, offset);
  if (result || (reads_zero && bg_iov_is_zero(&iov, 1)))
    free(buffer);
  else
    fill->buffer = buffer;
  return result;
}

static int write_filled(BgNode *node, const BgReservation *place, uint64_t skip, const Fill *head,
                        const struct iovec *data, int count, const Fill *tail)
{
  struct iovec all[BG_IOV_MAX + 2];
  int total = 0;
  uint64_t start = head->buffer ? 0 : skip;
  if (head->buffer)
    all[total++] = (struct iovec){head->buffer, head->length};
  for (int i = 0; i < count; i++)
    all[total++] = data[i];
  if (tail->buffer)
    all[total++] = (struct iovec){tail->buffer, tail->length};
  if (place->flags & BG_EXTENT_ENCODED)
    return bg_encoded_write_new(node, place, all, total);
  if (total <= BG_IOV_MAX)
    return place->child->ops->pwritev(place->child, all, total, place->child_offset + start);
  uint64_t first = bg_iov_length(all, BG_IOV_MAX);
  int result = place->child->ops->pwritev(place->child, all, BG_IOV_MAX, place->child_offset + start);
  if (result)
    return result;
  return place->child->ops->pwritev(place->child, all + BG_IOV_MAX, total - BG_IOV_MAX,
                                    place->child_offset + start + first);
}

static int write_reserved(Write *write, const BgReservation *place, uint64_t length)
{
  uint64_t start = write->offset + write->done;
  uint64_t end = start + length;
  Fill head, tail = {NULL, 0};
  int result = fill_make(write->node, place->offset, start - place->offset, place->reads_zero, &head);
  if (result == 0)
    result = fill_make(write->node, end, place->offset + place->length - end, place->reads_zero, &tail);
  if (result == 0) {
    struct iovec part[BG_IOV_MAX];
    int count = slice(write, length, part);
    result = write_filled(write->node, place, start - place->offset, &head, part, count, &tail);
  }
  free(head.buffer);
  free(tail.buffer);
  return result;
}

static int write_new_space(Write *write)
{
  const BgDriver *driver = write->node->driver;
  uint64_t start = write->offset + write->done;
  uint64_t length;
  int result = length_to_allocate(write, &length);
  if (result)
    return result;
  BgReservation place = {0};
  result = driver->reserve(write->node->instance, start, length, &place);
  if (result)
    return result;
  length = MIN(length, place.offset + place.length - start);
  result = write_reserved(write, &place, length);
  if (result) {
    driver->abort(write->node->instance, &place);
    return result;
  }
  result = driver->commit(write->node->instance, &place);
  if (result == 0)
    write->done += length;
  return result;
}

static int write_allocating(Write *write)
{
  while (write->done < write->length) {
    int result = write_in_place(write);
    if (result == 0 && write->done < write->length)
      result = write_new_space(write);
    if (result)
      return result;
  }
  return 0;
}

void bg_io_lock_granules(BgNode *node, BgRange *range, uint64_t offset, uint64_t length, bool exclusive)
{
  uint64_t mask = node->limits.granularity - 1;
  uint64_t start = offset & ~mask;
  bg_ranges_lock(&node->ranges, range, start, ((offset + length + mask) & ~mask) - start, exclusive);
}

static int write_mapped(Write *write)
{
  BgNode *node = write->node;
  if (!node->driver->reserve)
    return write_in_place(write) ?: (write->done < write->length ? -EIO : 0);
  BgRange range;
  bg_io_lock_granules(node, &range, write->offset, write->length, false);
  int result = write_in_place(write);
  bg_ranges_unlock(&node->ranges, &range);
  if (result || write->done == write->length)
    return result;
  bg_io_lock_granules(node, &range, write->offset + write->done, write->length - write->done, true);
  result = write_allocating(write);
  bg_ranges_unlock(&node->ranges, &range);
  return result;
}

int bg_io_pwritev_as_is(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (iovcnt > BG_IOV_MAX)
    return -EINVAL;
  uint64_t length = bg_iov_length(iov, iovcnt);
  if (!node->limits.grows) {
    int64_t size = bg_node_size_inside(node);
    if (size < 0)
      return (int)size;
    if (offset > (uint64_t)size || length > (uint64_t)size - offset)
      return -ENOSPC;
  }
  bg_io_will_change(node, offset, length);
  Write write = {node, iov, iovcnt, offset, length, 0};
  int result = node->driver->pwritev ? bg_align_pwritev(node, iov, iovcnt, offset) : write_mapped(&write);
  bg_io_wrote(node);
  return result;
}

int bg_io_write_held(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Write write = {node, iov, iovcnt, offset, bg_iov_length(iov, iovcnt), 0};
  bg_io_will_change(node, offset, write.length);
  return node->driver->reserve ? write_allocating(&write) : write_in_place(&write);
}
