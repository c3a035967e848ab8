/* What the bitmaps in the image hold while there is no writer: counted where they lie, never loaded. */
#include "drivers/qcow2/image.h"

#include <errno.h>

enum { PIECE = 8192 }; /* entries of a table that are read at once */

typedef struct Counting {
  Qcow2 *q;
  uint64_t file_end;
  uint64_t budget;  /* bytes of bits that may still be read: a writer would not load more */
  uint8_t *cluster; /* room for one */
} Counting;

/* Bits of the bitmap that the `i`th cluster of its bits holds. */
static uint64_t bits_in(const Qcow2 *q, const Qcow2Bitmap *bitmap, uint64_t i)
{
  uint64_t bits = qcow2_l1_entries_for(atomic_load(&q->size), bitmap->granularity_bits);
  uint64_t per_cluster = q->cluster_size * 8, before = i * per_cluster;
  return before < bits ? MIN(bits - before, per_cluster) : 0;
}

static uint64_t count_bytes(const uint8_t *bytes, uint64_t bits)
{
  uint64_t count = 0;
  for (uint64_t i = 0; i < bits / 8; i++)
    count += (uint64_t)__builtin_popcount(bytes[i]);
  if (bits % 8)
    count += (uint64_t)__builtin_popcount(bytes[bits / 8] & ((1u << bits % 8) - 1));
  return count;
}

static int count_entry(Counting *c, uint64_t entry, uint64_t bits, uint64_t *count)
{
  uint64_t offset = qcow2_entry_offset(entry), cluster = c->q->cluster_size;
  if (entry & QCOW2_BITMAP_TABLE_RESERVED || offset & (cluster - 1) || (offset && entry & QCOW2_BITMAP_ONES) ||
      offset >= c->file_end)
    return -EINVAL;
  if (offset == 0) {
    *count += entry & QCOW2_BITMAP_ONES ? bits : 0;
    return 0;
  }
  int r = bg_child_pread(c->q->file, c->cluster, (bits + 7) / 8, offset);
  if (r == 0)
    *count += count_bytes(c->cluster, bits);
  return r;
}

/* Those of the whole bitmap; -errno where they cannot be told. */
static int count_bits(Counting *c, const Qcow2Bitmap *bitmap, uint64_t *count)
{
  uint64_t bytes = (uint64_t)bitmap->table_entries << c->q->cluster_bits;
  if (bytes >> c->q->cluster_bits != bitmap->table_entries || bytes > c->budget + c->q->cluster_size)
    return -E2BIG;
  c->budget -= MIN(bytes, c->budget);
  g_autofree uint64_t *piece = g_new(uint64_t, PIECE);
  int r = 0;
  for (uint64_t i = 0; r == 0 && i < bitmap->table_entries; i += PIECE) {
    uint64_t here = MIN(bitmap->table_entries - i, (uint64_t)PIECE);
    r = bg_child_pread(c->q->file, piece, here * 8, bitmap->table_offset + i * 8);
    for (uint64_t j = 0; r == 0 && j < here; j++)
      if (piece[j])
        r = count_entry(c, be64toh(piece[j]), bits_in(c->q, bitmap, i + j), count);
  }
  return r;
}

static BgBitmapInfo *describe(Counting *c, const Qcow2Bitmap *bitmap)
{
  uint64_t bits = 0;
  bool fit = !bitmap->unfit && count_bits(c, bitmap, &bits) == 0;
  BgBitmapInfo *info = bg_bitmap_info_new(bitmap->name, bitmap->granularity_bits);
  info->persistent = true;
  info->inconsistent = !fit;
  info->recording = fit && bitmap->flags & QCOW2_BITMAP_AUTO;
  info->count = fit ? bits << bitmap->granularity_bits : 0;
  return info;
}

GPtrArray *qcow2_kept_bitmaps(void *instance)
{
  Qcow2 *q = instance;
  pthread_rwlock_rdlock(&q->lock);
  bool writable = q->writable;
  pthread_rwlock_unlock(&q->lock);
  int64_t size = q->file->ops->size(q->file);
  g_autofree uint8_t *cluster = writable || q->bitmaps.count == 0 || size < 0 ? NULL : g_try_malloc(q->cluster_size);
  if (!cluster)
    return NULL;
  Counting counting = {q, (uint64_t)size, BG_BITMAPS_MAX_BYTES, cluster};
  GPtrArray *list = bg_bitmap_infos_new();
  for (uint32_t i = 0; i < q->bitmaps.count; i++)
    g_ptr_array_add(list, describe(&counting, &q->bitmaps.list[i]));
  return list;
}
