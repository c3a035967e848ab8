/* Bitmaps for a writer: their bits out of the image. Whatever keeps one from being loaded concerns this one alone. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

enum { TOLD_MAX = 16 };

bool qcow2_bitmaps_may_own(Qcow2 *q, uint64_t cluster)
{
  Qcow2Table *block;
  return !qcow2_classes_of(q, cluster) && qcow2_block_get(q, cluster / q->block_clusters, &block) == 0 && block &&
         qcow2_refcount_get(block->data, q->refcount_order, cluster % q->block_clusters) == 1;
}

/* The clusters are going to be written over and freed: nobody else may have them. `named` are those of all bitmaps. */
static bool check_entry(Qcow2 *q, uint64_t entry, GHashTable *named)
{
  uint64_t offset = qcow2_entry_offset(entry);
  if (entry & QCOW2_BITMAP_TABLE_RESERVED || offset & (q->cluster_size - 1) || (offset && entry & QCOW2_BITMAP_ONES))
    return false;
  if (offset == 0)
    return true;
  uint64_t cluster = offset >> q->cluster_bits;
  pthread_rwlock_wrlock(&q->lock);
  bool sole = qcow2_bitmaps_may_own(q, cluster);
  pthread_rwlock_unlock(&q->lock);
  return sole && g_hash_table_add(named, GSIZE_TO_POINTER(cluster));
}

static bool read_table(Qcow2 *q, Qcow2Bitmap *bitmap, GHashTable *named, GError **error)
{
  g_autofree uint64_t *table = g_try_new(uint64_t, bitmap->table_entries);
  int r = table ? bg_child_pread(q->file, table, (uint64_t)bitmap->table_entries * 8, bitmap->table_offset) : -ENOMEM;
  if (r < 0) {
    bg_set_error_errno(error, -r, "its table cannot be read");
    return false;
  }
  for (uint32_t i = 0; i < bitmap->table_entries; i++) {
    table[i] = be64toh(table[i]);
    if (!check_entry(q, table[i], named)) {
      bg_set_error(error, EINVAL, "the entry 0x%" PRIx64 " of its table is false", table[i]);
      return false;
    }
  }
  bitmap->table = g_steal_pointer(&table);
  return true;
}

/* The clusters of all tables but one that are known. */
static GHashTable *named_by_others(const Qcow2 *q, const Qcow2Bitmap *but)
{
  GHashTable *named = g_hash_table_new(NULL, NULL);
  for (uint32_t i = 0; i < q->bitmaps.count; i++) {
    const Qcow2Bitmap *bitmap = &q->bitmaps.list[i];
    for (uint32_t j = 0; bitmap != but && bitmap->table && j < bitmap->table_entries; j++)
      if (qcow2_entry_offset(bitmap->table[j]))
        g_hash_table_add(named, GSIZE_TO_POINTER(qcow2_entry_offset(bitmap->table[j]) >> q->cluster_bits));
  }
  return named;
}

bool qcow2_bitmaps_load_table(Qcow2 *q, Qcow2Bitmap *bitmap)
{
  g_autoptr(GHashTable) named = named_by_others(q, bitmap);
  return read_table(q, bitmap, named, NULL);
}

static bool read_bits(Qcow2 *q, const Qcow2Bitmap *bitmap, GError **error)
{
  g_autofree uint8_t *bytes = g_try_malloc(q->cluster_size);
  int r = bytes ? 0 : -ENOMEM;
  for (uint32_t i = 0; r == 0 && i < bitmap->table_entries; i++) {
    uint64_t offset = qcow2_entry_offset(bitmap->table[i]);
    if (offset)
      r = bg_child_pread(q->file, bytes, q->cluster_size, offset);
    else if (bitmap->table[i] & QCOW2_BITMAP_ONES)
      memset(bytes, 0xff, q->cluster_size);
    if (r == 0 && bitmap->table[i])
      bg_bitmap_import(bitmap->bits, (uint64_t)i << q->cluster_bits, bytes, q->cluster_size);
  }
  if (r < 0)
    bg_set_error_errno(error, -r, "its bits cannot be read");
  return r == 0;
}

static bool load_one(Qcow2 *q, Qcow2Bitmap *bitmap, GHashTable *named, GError **error)
{
  BgBitmapSpec spec = {.name = bitmap->name,
                       .granularity_bits = bitmap->granularity_bits,
                       .size = atomic_load(&q->size),
                       .recording = bitmap->flags & QCOW2_BITMAP_AUTO,
                       .persistent = true};
  if (bitmap->unfit) {
    bg_set_error(error, EINVAL, "%s", bitmap->unfit);
    return false;
  }
  bitmap->bits = bg_bitmaps_add(q->host->bitmaps, &spec, error);
  if (bitmap->bits && read_table(q, bitmap, named, error) && read_bits(q, bitmap, error))
    return true;
  if (bitmap->bits)
    bg_bitmaps_remove(q->host->bitmaps, bitmap->bits);
  bitmap->bits = NULL;
  g_clear_pointer(&bitmap->table, g_free);
  return false;
}

/* One that was not stored by its last writer is nothing new; and a hostile image shall not fill the log. */
static void tell(Qcow2 *q, const Qcow2Bitmap *bitmap, const GError *why, unsigned *told)
{
  if (bitmap->flags & QCOW2_BITMAP_IN_USE || ++*told > TOLD_MAX)
    return;
  g_autofree char *text = g_strdup_printf("The bitmap '%s' cannot be kept up to date: %s", bitmap->name, why->message);
  q->host->event(q->host, BG_EVENT_WARNING, text);
}

void qcow2_bitmaps_load(Qcow2 *q)
{
  g_autoptr(GHashTable) named = g_hash_table_new(NULL, NULL);
  unsigned told = 0;
  for (uint32_t i = 0; i < q->bitmaps.count; i++) {
    Qcow2Bitmap *bitmap = &q->bitmaps.list[i];
    g_autoptr(GError) why = NULL;
    if (load_one(q, bitmap, named, &why))
      continue;
    tell(q, bitmap, why, &told);
    BgBitmapSpec spec = {
        .name = bitmap->name, .granularity_bits = bitmap->granularity_bits, .persistent = true, .inconsistent = true};
    bg_bitmaps_add(q->host->bitmaps, &spec, NULL); /* of two of one name the first is listed */
  }
  if (told > TOLD_MAX) {
    g_autofree char *text = g_strdup_printf("%u more bitmaps cannot be kept up to date", told - TOLD_MAX);
    q->host->event(q->host, BG_EVENT_WARNING, text);
  }
}
