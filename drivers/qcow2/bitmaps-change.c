/* Which bitmaps the image keeps, and bitmaps that others than writers change. Nothing of it is on disk before the last writer has left, but
 * marks: so a crash leaves a bitmap in use, or none. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>

static Qcow2Bitmap *find(Qcow2 *q, const char *name)
{
  for (uint32_t i = 0; i < q->bitmaps.count; i++)
    if (!q->bitmaps.list[i].gone && strcmp(q->bitmaps.list[i].name, name) == 0)
      return &q->bitmaps.list[i];
  return NULL;
}

/* ── new ones ── */

static bool check_name(const char *name, GError **error)
{
  g_autofree char *printable = qcow2_printable(name, strlen(name));
  if (*name && strlen(name) <= QCOW2_MAX_BITMAP_NAME && strcmp(name, printable) == 0)
    return true;
  bg_set_error(error, EINVAL, "A bitmap in an image has a name of 1 to %u bytes, without control characters",
               QCOW2_MAX_BITMAP_NAME);
  return false;
}

static bool check_directory(const Qcow2Bitmaps *bitmaps, const char *name, GError **error)
{
  uint64_t size = 0, count = 0;
  for (uint32_t i = 0; i < bitmaps->count; i++) {
    count += !bitmaps->list[i].gone;
    size += bitmaps->list[i].gone ? 0 : qcow2_bitmap_entry_size(bitmaps, &bitmaps->list[i]);
  }
  size += QCOW2_BITMAP_SIZE + ((strlen(name) + 7) & ~(size_t)7);
  if (count < QCOW2_MAX_BITMAPS && size <= QCOW2_MAX_BITMAP_BYTES)
    return true;
  bg_set_error(error, EFBIG, "The image has %" G_GUINT64_FORMAT " bitmaps, and cannot have more", count);
  return false;
}

static bool check_image(Qcow2 *q, const BgBitmapSpec *spec, GError **error)
{
  uint64_t entries = qcow2_bitmap_entries_for(spec->size, spec->granularity_bits, q->cluster_bits);
  int r;
  if (atomic_load(&q->damaged))
    bg_set_error(error, EIO, "The image is damaged");
  else if (q->version < 3)
    bg_set_error(error, ENOTSUP, "Images of version 2 cannot have bitmaps");
  else if (!entries)
    bg_set_error(error, EINVAL, "A disk without bytes cannot have bitmaps");
  else if (entries * 8 > QCOW2_MAX_BITMAP_BYTES)
    bg_set_error(error, EFBIG, "The granularity is too small for so large a disk");
  else if ((r = qcow2_bitmaps_check_room(q)) == -ENOSPC)
    bg_set_error(error, ENOSPC, "The header has no room for bitmaps");
  else if (r < 0)
    bg_set_error_errno(error, -r, "Cannot read the header");
  else
    return true;
  return false;
}

static void add(Qcow2 *q, const BgBitmapSpec *spec, BgBitmap *bits)
{
  Qcow2Bitmaps *bitmaps = &q->bitmaps;
  pthread_rwlock_wrlock(&q->lock);
  bitmaps->list = g_renew(Qcow2Bitmap, bitmaps->list, bitmaps->count + 1);
  bitmaps->list[bitmaps->count++] = (Qcow2Bitmap){.name = g_strdup(spec->name),
                                                  .type = QCOW2_BITMAP_DIRTY_TRACKING,
                                                  .granularity_bits = (uint8_t)spec->granularity_bits,
                                                  .marked = true,
                                                  .bits = bits};
  pthread_rwlock_unlock(&q->lock);
}

bool qcow2_bitmap_keep(void *instance, BgBitmap *bits, GError **error)
{
  Qcow2 *q = instance;
  BgBitmapSpec spec;
  bg_bitmap_look(bits, &spec);
  if (!check_name(spec.name, error) || !check_directory(&q->bitmaps, spec.name, error) || !check_image(q, &spec, error))
    return false;
  add(q, &spec, bits);
  return true;
}

/* ── those that are there ── */

bool qcow2_bitmap_touch(void *instance, const char *name, GError **error)
{
  Qcow2 *q = instance;
  Qcow2Bitmap *bitmap = find(q, name);
  if (!bitmap || !bitmap->bits)
    return true;
  bitmap->touched = true;
  int r = qcow2_bitmaps_mark(q, false);
  if (r < 0)
    bg_set_error_errno(error, -r, "Cannot mark the bitmaps as in use");
  return r == 0;
}

void qcow2_bitmap_forget(void *instance, const char *name)
{
  Qcow2 *q = instance;
  Qcow2Bitmap *bitmap = find(q, name);
  if (!bitmap)
    return;
  pthread_rwlock_wrlock(&q->lock);
  bitmap->gone = true;
  bitmap->bits = NULL;
  qcow2_bitmaps_compact(&q->bitmaps);
  pthread_rwlock_unlock(&q->lock);
}
