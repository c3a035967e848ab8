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

/* What of a reservation the caller's data does not cover, on either side of it. */
typedef struct Fill {
  uint8_t *buffer;         /* NULL: nothing to write */
  struct iovec head, tail; /* in it; empty: not to be written */
} Fill;

static void fill_clear(Fill *fill)
{
  free(fill->buffer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fill, fill_clear)

/* Whether [offset, offset+length) of the node has to be written where its new space does not read as zeros, or does. Or -errno. */
static int has_to_be_filled(BgNode *node, uint64_t offset, uint64_t length, bool reads_zero)
{
  if (!length || !reads_zero)
    return length > 0;
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return (int)size;
  uint64_t inside = offset < (uint64_t)size ? MIN(length, (uint64_t)size - offset) : 0;
  return inside && !bg_io_reads_zero(node, offset, inside);
}

static int read_part(BgNode *node, uint64_t offset, struct iovec part)
{
  return part.iov_len ? bg_io_preadv(node, &part, 1, offset) : 0;
}

/* Reads both sides at once where that takes little with them that the caller's data is to replace. */
static int read_fill(BgNode *node, const BgReservation *place, const Fill *fill, bool at_once)
{
  if (at_once && read_part(node, place->offset, (struct iovec){fill->buffer, place->length}) == 0)
    return 0; /* else what is to be replaced may be what cannot be read */
  return read_part(node, place->offset, fill->head)
             ?: read_part(node, place->offset + place->length - fill->tail.iov_len, fill->tail);
}

static void drop_zeros(struct iovec *part)
{
  if (bg_iov_is_zero(part, 1))
    part->iov_len = 0;
}

/* The caller's data is to be [start, end). */
static int fill_make(BgNode *node, const BgReservation *place, uint64_t start, uint64_t end, Fill *fill)
{
  uint64_t before = start - place->offset, after = place->offset + place->length - end;
  int head = has_to_be_filled(node, place->offset, before, place->reads_zero);
  int tail = head < 0 ? head : has_to_be_filled(node, end, after, place->reads_zero);
  if (tail < 0 || !(head || tail))
    return tail;
  bool at_once = head && tail && end - start <= before + after;
  uint64_t size = at_once ? place->length : (head ? before : 0) + (tail ? after : 0);
  fill->buffer = malloc(size);
  if (!fill->buffer)
    return -ENOMEM;
  fill->head = (struct iovec){fill->buffer, head ? before : 0};
  fill->tail = (struct iovec){fill->buffer + size - (tail ? after : 0), tail ? after : 0};
  int result = read_fill(node, place, fill, at_once);
  if (place->reads_zero && result == 0) {
    drop_zeros(&fill->head);
    drop_zeros(&fill->tail);
  }
  return result;
}

static int write_filled(const BgReservation *place, BgNode *node, uint64_t start, const Fill *fill,
                        const struct iovec *data, int count)
{
  struct iovec all[BG_IOV_MAX + 2];
  int total = 0;
  if (fill->head.iov_len)
    all[total++] = fill->head;
  for (int i = 0; i < count; i++)
    all[total++] = data[i];
  if (fill->tail.iov_len)
    all[total++] = fill->tail;
  if (place->flags & BG_EXTENT_ENCODED)
    return bg_encoded_write_new(node, place, all, total);
  uint64_t at = place->child_offset + (fill->head.iov_len ? 0 : start - place->offset);
  if (total <= BG_IOV_MAX)
    return place->child->ops->pwritev(place->child, all, total, at);
  uint64_t first = bg_iov_length(all, BG_IOV_MAX);
  return place->child->ops->pwritev(place->child, all, BG_IOV_MAX, at)
             ?: place->child->ops->pwritev(place->child, all + BG_IOV_MAX, total - BG_IOV_MAX, at + first);
}

static int write_reserved(Write *write, const BgReservation *place, uint64_t length)
{
  uint64_t start = write->offset + write->done;
  g_auto(Fill) fill = {0};
  int result = fill_make(write->node, place, start, start + length, &fill);
  if (result)
    return result;
  struct iovec part[BG_IOV_MAX];
  int count = slice(write, length, part);
  return write_filled(place, write->node, start, &fill, part, count);
}

/* Into new space, at most `length` bytes. */
static int write_new_space(Write *write, uint64_t length)
{
  const BgDriver *driver = write->node->driver;
  uint64_t start = write->offset + write->done;
  BgReservation place = {0};
  int result = driver->reserve(write->node->instance, start, length, &place);
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

/* Goes on with `run` as far as there is no place for the data: how many bytes need new space. */
static int length_to_allocate(BgRuns *runs, BgExtent run, uint64_t *length)
{
  *length = run.length;
  while (runs->position < runs->end) {
    int result = bg_runs_next(runs, &run);
    if (result)
      return result;
    if (run.flags & BG_EXTENT_IN_PLACE)
      break;
    *length += run.length;
  }
  return 0;
}

static int write_allocating(Write *write)
{
  while (write->done < write->length) {
    BgRuns runs;
    BgExtent run;
    bg_runs_init(&runs, write->node, write->offset + write->done, write->length - write->done);
    int result = bg_runs_next(&runs, &run);
    if (result == 0 && run.flags & BG_EXTENT_IN_PLACE) {
      result = write_run(write, &run);
      write->done += result ? 0 : run.length;
    } else if (result == 0) {
      uint64_t length;
      result = length_to_allocate(&runs, run, &length) ?: write_new_space(write, length);
    }
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
  if (result == 0)
    bg_io_wrote_up_to(node, offset + length);
  return result;
}

int bg_io_write_held(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  bg_io_will_change(node, offset, bg_iov_length(iov, iovcnt));
  return bg_io_fill_held(node, iov, iovcnt, offset);
}

int bg_io_fill_held(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Write write = {node, iov, iovcnt, offset, bg_iov_length(iov, iovcnt), 0};
  return node->driver->reserve ? write_allocating(&write) : write_in_place(&write);
}
