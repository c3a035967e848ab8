#include "tests/drivers/core-shim-internal.h"

#include "drivers/iov.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_opaque(const Shim *shim)
{
  return shim->driver->preadv;
}

static BgChild *filtered_child(Shim *shim)
{
  return shim->file.child.role & BG_ROLE_PRIMARY ? &shim->file.child : NULL;
}

int64_t shim_size(Shim *shim)
{
  if (shim->driver->size)
    return shim->driver->size(shim->instance);
  BgChild *child = filtered_child(shim);
  return child->ops->size(child);
}

void shim_limits(Shim *shim, BgLimits *limits)
{
  if (shim->driver->limits) {
    shim->driver->limits(shim->instance, limits);
    return;
  }
  BgLimits below = {.grows = false};
  BgChild *child = filtered_child(shim);
  if (child)
    child->ops->limits(child, &below);
  *limits = (BgLimits){1, 1, below.grows};
}

int shim_map(Shim *shim, uint64_t offset, uint64_t length, BgExtent *extent)
{
  if (shim->driver->map) {
    int rc = shim->driver->map(shim->instance, offset, length, extent);
    g_assert(rc < 0 || (extent->length > 0 && extent->length <= length));
    return rc;
  }
  *extent = (BgExtent){.kind = BG_EXTENT_DATA,
                       .flags = BG_EXTENT_IN_PLACE,
                       .length = length,
                       .child = is_opaque(shim) ? NULL : filtered_child(shim),
                       .offset = offset};
  return 0;
}

/* ── ranges in granules ── */

static uint32_t granule(Shim *shim)
{
  BgLimits limits;
  shim_limits(shim, &limits);
  return MAX(limits.granularity, limits.request_alignment);
}

static uint64_t down(uint64_t value, uint64_t unit)
{
  return value & ~(unit - 1);
}

static uint64_t up(uint64_t value, uint64_t unit)
{
  return down(value + unit - 1, unit);
}

/* Holds the range, rounded to granules. */
static void enter(Shim *shim, ShimRange *range, uint64_t offset, uint64_t length, bool exclusive)
{
  uint64_t unit = granule(shim);
  shim_range_enter(shim, range, down(offset, unit), up(offset + length, unit), exclusive);
}

/* ── reading ── */

static int read_child(BgChild *child, char *buffer, uint64_t length, uint64_t offset)
{
  struct iovec iov = {buffer, length};
  return child->ops->preadv(child, &iov, 1, offset);
}

static int read_opaque(Shim *shim, char *buffer, uint64_t length, uint64_t offset)
{
  BgLimits limits;
  shim_limits(shim, &limits);
  uint64_t start = down(offset, limits.request_alignment), end = up(offset + length, limits.request_alignment);
  char *bounce = aligned_alloc(MAX(limits.request_alignment, 16u), up(end - start, MAX(limits.request_alignment, 16u)));
  struct iovec iov = {bounce, end - start};
  int rc = shim->driver->preadv(shim->instance, &iov, 1, start);
  if (rc == 0)
    memcpy(buffer, bounce + (offset - start), length);
  free(bounce);
  return rc;
}

/* The whole units around a piece of an encoded extent. */
typedef struct Units {
  char *bytes;
  uint64_t skip, length; /* before the piece; of all */
} Units;

static int units_read(Shim *shim, const BgExtent *extent, uint64_t offset, Units *units)
{
  BgLimits limits;
  shim_limits(shim, &limits);
  units->skip = offset & (limits.request_alignment - 1);
  units->length = up(units->skip + extent->length, limits.request_alignment);
  units->bytes = g_malloc(units->length);
  int rc = read_child(extent->child, units->bytes, units->length, extent->offset - units->skip);
  return rc < 0 ? rc
                : shim->driver->decode(shim->instance, units->bytes, units->length, offset - units->skip,
                                       extent->offset - units->skip);
}

static int read_encoded(Shim *shim, const BgExtent *extent, char *buffer, uint64_t offset)
{
  Units units;
  int rc = units_read(shim, extent, offset, &units);
  if (rc == 0)
    memcpy(buffer, units.bytes + units.skip, extent->length);
  g_free(units.bytes);
  return rc;
}

static int read_extent(Shim *shim, const BgExtent *extent, char *buffer, uint64_t offset)
{
  struct iovec iov = {buffer, extent->length};
  switch (extent->kind) {
  case BG_EXTENT_DATA:
    return extent->flags & BG_EXTENT_ENCODED ? read_encoded(shim, extent, buffer, offset)
                                             : read_child(extent->child, buffer, extent->length, extent->offset);
  case BG_EXTENT_SPECIAL:
    return shim->driver->preadv_special(shim->instance, &iov, 1, offset);
  case BG_EXTENT_BACKING:
    if (shim->backing.child.ops)
      return read_child(&shim->backing.child, buffer, extent->length, offset);
    break;
  case BG_EXTENT_ZERO:
    break;
  }
  memset(buffer, 0, extent->length);
  return 0;
}

/* Reads what is there, the range being held already. */
static int read_held(Shim *shim, char *buffer, uint64_t length, uint64_t offset)
{
  int64_t size = shim_size(shim);
  if (size < 0)
    return (int)size;
  uint64_t present = offset < (uint64_t)size ? MIN(length, (uint64_t)size - offset) : 0;
  memset(buffer + present, 0, length - present);
  if (present > 0 && is_opaque(shim))
    return read_opaque(shim, buffer, present, offset);
  for (uint64_t done = 0; done < present;) {
    BgExtent extent;
    int rc = shim_map(shim, offset + done, present - done, &extent);
    if (rc == 0)
      rc = read_extent(shim, &extent, buffer + done, offset + done);
    if (rc < 0)
      return rc;
    done += extent.length;
  }
  return 0;
}

int shim_read_snapshot(Shim *shim, const char *id, void *buffer, uint64_t length)
{
  Shim view = *shim; /* the same children, read by another driver */
  view.driver = shim->driver->view;
  view.instance = shim->driver->view_open(shim->instance, id);
  if (!view.instance)
    return -ENOENT;
  int rc = read_held(&view, buffer, length, 0);
  view.driver->close(view.instance);
  return rc;
}

int shim_read(Shim *shim, void *buffer, uint64_t length, uint64_t offset)
{
  ShimRange range;
  enter(shim, &range, offset, length, false);
  int rc = read_held(shim, buffer, length, offset);
  shim_range_leave(shim, &range);
  return rc;
}

/* ── writing ── */

static int write_opaque(Shim *shim, const char *buffer, uint64_t length, uint64_t offset)
{
  BgLimits limits;
  shim_limits(shim, &limits);
  uint64_t unit = limits.request_alignment, start = down(offset, unit), end = up(offset + length, unit);
  char *bounce = aligned_alloc(MAX(unit, 16u), up(end - start, MAX(unit, 16u)));
  int rc = unit > 1 ? read_held(shim, bounce, end - start, start) : 0;
  memcpy(bounce + (offset - start), buffer, length);
  struct iovec iov = {bounce, end - start};
  if (rc == 0)
    rc = shim->driver->pwritev(shim->instance, &iov, 1, start);
  free(bounce);
  return rc;
}

/* Fills the reservation around the data from the node's own content, in one write. */
static int write_reserved(Shim *shim, const BgReservation *place, const char *buffer, uint64_t length, uint64_t offset)
{
  uint64_t head = offset - place->offset, tail_start = head + length, tail = place->length - tail_start;
  g_autofree char *whole = g_malloc(place->length);
  int rc = read_held(shim, whole, head, place->offset);
  if (rc == 0)
    rc = read_held(shim, whole + tail_start, tail, offset + length);
  if (rc < 0)
    return rc;
  memcpy(whole + head, buffer, length);
  uint64_t from = place->reads_zero && bg_buffer_is_zero(whole, head) ? head : 0;
  uint64_t to = place->reads_zero && bg_buffer_is_zero(whole + tail_start, tail) ? tail_start : place->length;
  if (place->flags & BG_EXTENT_ENCODED)
    rc = shim->driver->encode(shim->instance, whole, place->length, place->offset, place->child_offset);
  if (rc < 0)
    return rc;
  struct iovec iov = {whole + from, to - from};
  return place->child->ops->pwritev(place->child, &iov, 1, place->child_offset + from);
}

/* Writes up to `length` bytes to new space. Bytes written, or -errno. */
static int64_t write_new(Shim *shim, const char *buffer, uint64_t length, uint64_t offset)
{
  BgReservation place = {0};
  int rc = shim->driver->reserve(shim->instance, offset, length, &place);
  if (rc < 0)
    return rc;
  g_assert(place.offset <= offset && offset < place.offset + place.length);
  length = MIN(length, place.offset + place.length - offset);
  rc = write_reserved(shim, &place, buffer, length, offset);
  if (rc < 0) {
    shim->driver->abort(shim->instance, &place);
    return rc;
  }
  rc = shim->driver->commit(shim->instance, &place);
  return rc < 0 ? rc : (int64_t)length;
}

static bool in_place(const BgExtent *extent)
{
  return extent->kind == BG_EXTENT_DATA && extent->flags & BG_EXTENT_IN_PLACE;
}

static int write_encoded(Shim *shim, const BgExtent *extent, const char *buffer, uint64_t offset)
{
  Units units;
  int rc = units_read(shim, extent, offset, &units);
  uint64_t start = extent->offset - units.skip;
  if (rc == 0) {
    memcpy(units.bytes + units.skip, buffer, extent->length);
    rc = shim->driver->encode(shim->instance, units.bytes, units.length, offset - units.skip, start);
  }
  struct iovec iov = {units.bytes, units.length};
  if (rc == 0)
    rc = extent->child->ops->pwritev(extent->child, &iov, 1, start);
  g_free(units.bytes);
  return rc;
}

static int write_in_place(Shim *shim, const BgExtent *extent, const char *buffer, uint64_t offset)
{
  struct iovec iov = {(void *)buffer, extent->length};
  return extent->flags & BG_EXTENT_ENCODED ? write_encoded(shim, extent, buffer, offset)
                                           : extent->child->ops->pwritev(extent->child, &iov, 1, extent->offset);
}

/* The range is held, exclusively if `may_allocate`, which writing parts of units takes, too. Bytes written up to where it may not go on, or
 * -errno. */
static int64_t write_held(Shim *shim, const char *buffer, uint64_t length, uint64_t offset, bool may_allocate)
{
  uint64_t done = 0;
  while (done < length) {
    BgExtent extent;
    int rc = shim_map(shim, offset + done, length - done, &extent);
    if (rc < 0)
      return rc;
    int64_t written = (int64_t)extent.length;
    if (!may_allocate && (!in_place(&extent) || extent.flags & BG_EXTENT_ENCODED)) {
      break;
    } else if (in_place(&extent)) {
      rc = write_in_place(shim, &extent, buffer + done, offset + done);
      if (rc < 0)
        return rc;
    } else {
      written = write_new(shim, buffer + done, extent.length, offset + done);
      if (written < 0)
        return written;
    }
    done += (uint64_t)written;
  }
  return (int64_t)done;
}

static int write_mapped(Shim *shim, const char *buffer, uint64_t length, uint64_t offset)
{
  ShimRange range;
  enter(shim, &range, offset, length, false);
  int64_t done = write_held(shim, buffer, length, offset, false);
  shim_range_leave(shim, &range);
  if (done < 0 || (uint64_t)done == length)
    return done < 0 ? (int)done : 0;
  enter(shim, &range, offset + (uint64_t)done, length - (uint64_t)done, true);
  int64_t rest = write_held(shim, buffer + done, length - (uint64_t)done, offset + (uint64_t)done, true);
  shim_range_leave(shim, &range);
  return rest < 0 ? (int)rest : 0;
}

static int check_end(Shim *shim, uint64_t end)
{
  BgLimits limits;
  shim_limits(shim, &limits);
  int64_t size = shim_size(shim);
  if (size < 0)
    return (int)size;
  return end > (uint64_t)size && !limits.grows ? -ENOSPC : 0;
}

/* One special granule at a time, completed with what is there. */
static int write_special(Shim *shim, const char *buffer, uint64_t length, uint64_t offset, uint64_t unit)
{
  uint64_t start = down(offset, unit), end = MIN(start + unit, (uint64_t)shim_size(shim));
  g_autofree char *whole = g_malloc(unit);
  ShimRange range;
  shim_range_enter(shim, &range, start, start + unit, true);
  int rc = read_held(shim, whole, end - start, start);
  memcpy(whole + (offset - start), buffer, length);
  struct iovec iov = {whole, end - start};
  if (rc == 0)
    rc = shim->driver->pwritev_special(shim->instance, &iov, 1, start);
  if (rc == -ENOTSUP) {
    int64_t done = write_held(shim, buffer, length, offset, true);
    rc = done < 0 ? (int)done : 0;
  }
  shim_range_leave(shim, &range);
  return rc;
}

static int write_all_special(Shim *shim, const char *buffer, uint64_t length, uint64_t offset, uint64_t unit)
{
  int rc = 0;
  for (uint64_t done = 0, step; rc == 0 && done < length; done += step) {
    step = MIN(length - done, unit - ((offset + done) & (unit - 1)));
    rc = write_special(shim, buffer + done, step, offset + done, unit);
  }
  return rc;
}

int shim_write(Shim *shim, const void *buffer, uint64_t length, uint64_t offset)
{
  int rc = check_end(shim, offset + length);
  if (rc < 0)
    return rc;
  bg_bitmaps_mark(shim->host.bitmaps, offset, length);
  BgLimits limits;
  shim_limits(shim, &limits);
  if (shim->special && limits.special_granularity)
    return write_all_special(shim, buffer, length, offset, limits.special_granularity);
  if (!shim->driver->pwritev)
    return write_mapped(shim, buffer, length, offset);
  bool aligned = (offset | length) % limits.request_alignment == 0;
  ShimRange range;
  enter(shim, &range, offset, length, !aligned);
  rc = write_opaque(shim, buffer, length, offset);
  shim_range_leave(shim, &range);
  return rc;
}

/* ── zero and discard ── */

static int write_zeros(Shim *shim, uint64_t offset, uint64_t length)
{
  g_autofree char *zeros = g_malloc0(length);
  return length > 0 ? shim_write(shim, zeros, length, offset) : 0;
}

/* Passes zero or discard on to where the bytes are; -ENOTSUP where they are not in place. */
static int pass_on(Shim *shim, uint64_t offset, uint64_t length, bool zero, BgZeroFlags flags)
{
  for (uint64_t done = 0; done < length;) {
    BgExtent extent;
    int rc = shim_map(shim, offset + done, length - done, &extent);
    if (rc == 0 && !(in_place(&extent) && extent.child))
      rc = -ENOTSUP;
    if (rc == 0)
      rc = zero ? extent.child->ops->zero(extent.child, extent.offset, extent.length, flags)
                : extent.child->ops->discard(extent.child, extent.offset, extent.length);
    if (rc < 0)
      return rc;
    done += extent.length;
  }
  return 0;
}

static int zero_granules(Shim *shim, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  ShimRange range;
  enter(shim, &range, offset, length, true);
  int rc = shim->driver->zero ? shim->driver->zero(shim->instance, offset, length, flags)
           : is_opaque(shim)  ? -ENOTSUP
                              : pass_on(shim, offset, length, true, flags);
  shim_range_leave(shim, &range);
  return rc == -ENOTSUP ? write_zeros(shim, offset, length) : rc;
}

/* The whole granules in the range: [*start, *end), the last one cut by the end of the node. False if there are none. */
static bool whole_granules(Shim *shim, uint64_t offset, uint64_t length, uint64_t *start, uint64_t *end)
{
  uint64_t unit = granule(shim);
  int64_t size = shim_size(shim);
  *start = up(offset, unit);
  *end = size >= 0 && offset + length >= (uint64_t)size ? offset + length : down(offset + length, unit);
  return *start < *end;
}

int shim_zero(Shim *shim, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  uint64_t start, end;
  int rc = check_end(shim, offset + length);
  if (rc < 0)
    return rc;
  bg_bitmaps_mark(shim->host.bitmaps, offset, length);
  if (!whole_granules(shim, offset, length, &start, &end))
    return write_zeros(shim, offset, length);
  rc = write_zeros(shim, offset, start - offset);
  if (rc == 0)
    rc = zero_granules(shim, start, end - start, flags);
  return rc == 0 ? write_zeros(shim, end, offset + length - end) : rc;
}

int shim_discard(Shim *shim, uint64_t offset, uint64_t length)
{
  uint64_t start, end;
  int64_t size = shim_size(shim);
  if (size < 0 || offset >= (uint64_t)size)
    return size < 0 ? (int)size : 0;
  length = MIN(length, (uint64_t)size - offset);
  if (!whole_granules(shim, offset, length, &start, &end))
    return 0;
  bg_bitmaps_mark(shim->host.bitmaps, start, end - start);
  ShimRange range;
  enter(shim, &range, start, end - start, true);
  int rc = shim->driver->discard ? shim->driver->discard(shim->instance, start, end - start)
           : is_opaque(shim)     ? 0
                                 : pass_on(shim, start, end - start, false, BG_ZERO_NONE);
  shim_range_leave(shim, &range);
  return rc == -ENOTSUP ? 0 : rc;
}

/* ── the rest ── */

int shim_write_back(Shim *shim)
{
  return shim->driver->write_back ? shim->driver->write_back(shim->instance) : 0;
}

int shim_flush(Shim *shim)
{
  int rc = shim_write_back(shim);
  BgChild *children[] = {&shim->data.child, &shim->file.child};
  for (size_t i = 0; i < G_N_ELEMENTS(children) && rc == 0 && shim->mode.writable; i++)
    if (children[i]->ops)
      rc = children[i]->ops->flush(children[i]);
  return rc == 0 && shim->driver->flush ? shim->driver->flush(shim->instance) : rc;
}

int shim_resize(Shim *shim, uint64_t size)
{
  if (!shim->driver->resize)
    return -EFBIG;
  ShimRange range;
  shim_range_enter(shim, &range, 0, UINT64_MAX, true);
  bg_bitmaps_grow(shim->host.bitmaps, size);
  int rc = shim->driver->resize(shim->instance, size);
  int64_t now = shim_size(shim);
  bg_bitmaps_resize(shim->host.bitmaps, now < 0 ? size : (uint64_t)now);
  shim_range_leave(shim, &range);
  return rc;
}
