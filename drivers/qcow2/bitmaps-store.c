/* Bitmaps back into the image. All are marked as in use on disk, so their bits and tables may be written over where they are:
 *
 *   1. bits, and refcounts of clusters that are new; flush
 *   2. tables; flush. Each entry is old or new, and what either names is allocated
 *   3. where tables moved, for the disk has another size: the header names a directory at a new place, with the marks still set; flush
 *   4. the marks go, in place; flush
 *   5. what is named no longer is freed
 *
 * A crash in between leaves bitmaps in use, and at worst space that nobody has. */
#include "drivers/qcow2/alloc.h"

#include "drivers/iov.h"

#include <errno.h>
#include <inttypes.h>

/* One bitmap on its way. */
typedef struct Going {
  Qcow2Bitmap *bitmap;
  uint64_t *table; /* that it gets; NULL: it stays as it is */
  uint32_t entries;
  uint64_t offset; /* of that table */
} Going;

static uint64_t clusters_for(const Qcow2 *q, uint64_t bytes)
{
  return (bytes + q->cluster_size - 1) >> q->cluster_bits;
}

/* ── space ── */

static int alloc_area(Qcow2 *q, uint64_t bytes, uint64_t *offset)
{
  uint64_t clusters = clusters_for(q, bytes), first;
  pthread_rwlock_wrlock(&q->lock);
  int r = clusters == 1 ? qcow2_alloc_metadata(q, &first) : qcow2_area_alloc(q, clusters, &first);
  pthread_rwlock_unlock(&q->lock);
  if (r == 0)
    *offset = first << q->cluster_bits;
  return r;
}

static int alloc_cluster(Qcow2 *q, uint64_t *offset)
{
  uint64_t first, count;
  bool reads_zero;
  pthread_rwlock_wrlock(&q->lock);
  int r = qcow2_alloc_run(q, 1, &first, &count, &reads_zero);
  pthread_rwlock_unlock(&q->lock);
  if (r == 0)
    *offset = first << q->cluster_bits;
  return r;
}

static void free_area(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
  pthread_rwlock_wrlock(&q->lock);
  qcow2_free_now(q, offset >> q->cluster_bits, clusters_for(q, bytes));
  pthread_rwlock_unlock(&q->lock);
}

static void drop_area(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
  for (uint64_t i = 0; i < clusters_for(q, bytes); i++) {
    uint64_t cluster = (offset >> q->cluster_bits) + i;
    g_array_append_val(q->bitmaps.dropped, cluster);
  }
}

/* ── giving up ── */

static void give_up(Qcow2 *q, Going *going, int r)
{
  g_autofree char *text = g_strdup_printf("The bitmap '%s' could not be stored and is not valid any more: %s",
                                          going->bitmap->name, g_strerror(-r));
  going->bitmap->marked = false; /* never to be taken off */
  if (going->bitmap->bits)
    bg_bitmap_set_inconsistent(q->host->bitmaps, going->bitmap->bits);
  g_clear_pointer(&going->table, g_free);
  q->host->event(q->host, BG_EVENT_WARNING, text);
}

/* Nothing on disk names what is new yet. */
static void give_back(Qcow2 *q, Going *going)
{
  const Qcow2Bitmap *bitmap = going->bitmap;
  for (uint32_t i = 0; i < going->entries; i++)
    if (going->table[i] > QCOW2_BITMAP_ONES && (i >= bitmap->table_entries || going->table[i] != bitmap->table[i]))
      free_area(q, going->table[i], q->cluster_size);
  if (going->offset && going->offset != bitmap->table_offset)
    free_area(q, going->offset, (uint64_t)going->entries * 8);
}

/* ── 1: bits ── */

/* The cluster for entry `i`: the one that it has, or a new one. */
static int place_bits(Qcow2 *q, const Going *going, uint32_t i, uint64_t *offset)
{
  const Qcow2Bitmap *bitmap = going->bitmap;
  uint64_t there = i < bitmap->table_entries ? qcow2_entry_offset(bitmap->table[i]) : 0;
  if (there == 0)
    return alloc_cluster(q, offset);
  pthread_rwlock_wrlock(&q->lock);
  bool sole = qcow2_bitmaps_may_own(q, there >> q->cluster_bits);
  pthread_rwlock_unlock(&q->lock);
  *offset = there;
  return sole ? 0 : -EILSEQ;
}

static bool is_all_ones(const uint8_t *bytes, uint64_t length)
{
  return bytes[0] == 0xff && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static int write_bits(Qcow2 *q, Going *going, uint8_t *bytes)
{
  for (uint32_t i = 0; i < going->entries; i++) {
    bg_bitmap_export(going->bitmap->bits, (uint64_t)i << q->cluster_bits, bytes, q->cluster_size);
    going->table[i] = 0;
    if (bg_buffer_is_zero(bytes, q->cluster_size))
      continue;
    if (is_all_ones(bytes, q->cluster_size)) {
      going->table[i] = QCOW2_BITMAP_ONES;
      continue;
    }
    int r = place_bits(q, going, i, &going->table[i]);
    if (r == 0)
      r = bg_child_pwrite(q->file, bytes, q->cluster_size, going->table[i]);
    if (r < 0)
      return r;
  }
  return 0;
}

static void go(Qcow2 *q, Going *going)
{
  const Qcow2Bitmap *bitmap = going->bitmap;
  g_autofree uint8_t *bytes = g_try_malloc(q->cluster_size);
  uint64_t size = atomic_load(&q->size);
  going->entries = qcow2_bitmap_entries_for(size, bitmap->granularity_bits, q->cluster_bits);
  going->offset = going->entries == bitmap->table_entries ? bitmap->table_offset : 0;
  going->table = g_try_new0(uint64_t, MAX(going->entries, 1));
  int r = going->entries == 0 || bg_bitmap_size(bitmap->bits) != size ? -EINVAL : 0;
  if (!bytes || !going->table)
    r = -ENOMEM;
  if (r == 0 && !going->offset)
    r = alloc_area(q, (uint64_t)going->entries * 8, &going->offset);
  if (r == 0)
    r = write_bits(q, going, bytes);
  if (r == 0)
    return;
  if (going->table)
    give_back(q, going);
  give_up(q, going, r);
}

/* ── 2: tables ── */

static int write_table(Qcow2 *q, const Going *going)
{
  g_autofree uint8_t *bytes = g_try_malloc((uint64_t)going->entries * 8);
  if (!bytes)
    return -ENOMEM;
  for (uint32_t i = 0; i < going->entries; i++)
    qcow2_put64(bytes + (uint64_t)i * 8, going->table[i]);
  return bg_child_pwrite(q->file, bytes, (uint64_t)going->entries * 8, going->offset);
}

/* The disk has the table, or parts of it: from now on it is this bitmap's. */
static void adopt_table(Qcow2 *q, Going *going)
{
  Qcow2Bitmap *bitmap = going->bitmap;
  for (uint32_t i = 0; i < bitmap->table_entries; i++) {
    uint64_t there = qcow2_entry_offset(bitmap->table[i]);
    if (there && (i >= going->entries || going->table[i] != there))
      drop_area(q, there, q->cluster_size);
  }
  if (going->offset != bitmap->table_offset)
    drop_area(q, bitmap->table_offset, (uint64_t)bitmap->table_entries * 8);
  pthread_rwlock_wrlock(&q->lock);
  g_free(bitmap->table);
  bitmap->table = g_steal_pointer(&going->table);
  bitmap->table_entries = going->entries;
  bitmap->table_offset = going->offset;
  pthread_rwlock_unlock(&q->lock);
}

/* ── 3: another directory ── */

/* The directory on disk names another table. */
static bool has_moved(const Qcow2 *q, const Going *going)
{
  const uint8_t *entry = q->bitmaps.directory + going->bitmap->at;
  return going->table && going->offset != qcow2_get64(entry + QCOW2_BITMAP_TABLE);
}

/* A directory with the tables as they are in memory, and all marks; NULL where memory is short. */
static uint8_t *make_directory(const Qcow2Bitmaps *bitmaps)
{
  uint8_t *directory = g_try_malloc(bitmaps->size);
  if (!directory)
    return NULL;
  memcpy(directory, bitmaps->directory, bitmaps->size);
  for (uint32_t i = 0; i < bitmaps->count; i++) {
    const Qcow2Bitmap *bitmap = &bitmaps->list[i];
    qcow2_put64(directory + bitmap->at + QCOW2_BITMAP_TABLE, bitmap->table_offset);
    qcow2_put32(directory + bitmap->at + QCOW2_BITMAP_ENTRIES, bitmap->table_entries);
  }
  return directory;
}

/* Written and durable; the header does not name it yet. */
static int write_directory(Qcow2 *q, uint64_t offset)
{
  uint8_t *directory = make_directory(&q->bitmaps);
  int r = directory ? bg_child_pwrite(q->file, directory, q->bitmaps.size, offset) : -ENOMEM;
  if (r == 0)
    r = q->file->ops->flush(q->file);
  if (r < 0) {
    g_free(directory);
    free_area(q, offset, q->bitmaps.size);
    return r;
  }
  drop_area(q, q->bitmaps.offset, q->bitmaps.size);
  pthread_rwlock_wrlock(&q->lock);
  g_free(q->bitmaps.directory);
  q->bitmaps.directory = directory;
  q->bitmaps.offset = offset;
  qcow2_overlap_ranges(q);
  pthread_rwlock_unlock(&q->lock);
  return 0;
}

/* Eight bytes at a multiple of eight: they are old or new. */
static int name_directory(Qcow2 *q)
{
  pthread_mutex_lock(&q->header_lock);
  uint64_t old = q->header.bitmaps_offset, at = q->header.bitmaps_at + 16;
  uint8_t bytes[8];
  qcow2_put64(bytes, q->bitmaps.offset);
  int r = old != q->bitmaps.offset ? bg_child_pwrite(q->file, bytes, sizeof bytes, at) : 0;
  if (r == 0)
    q->header.bitmaps_offset = q->bitmaps.offset;
  pthread_mutex_unlock(&q->header_lock);
  return r == 0 && old != q->bitmaps.offset ? q->file->ops->flush(q->file) : r;
}

/* ── the whole ── */

static int flush_all(Qcow2 *q)
{
  int r = qcow2_write_back(q);
  return r < 0 ? r : q->file->ops->flush(q->file);
}

static void abandon(Qcow2 *q, GArray *all, uint64_t directory)
{
  for (guint i = 0; i < all->len; i++)
    if (g_array_index(all, Going, i).table)
      give_back(q, &g_array_index(all, Going, i));
  if (directory)
    free_area(q, directory, q->bitmaps.size);
}

/* Bits, and space for tables and, if one of those moved, for a directory (*directory, else 0). Durable but for the directory. */
static int start(Qcow2 *q, GArray *all, uint64_t *directory)
{
  bool moved = false;
  *directory = 0;
  for (guint i = 0; i < all->len; i++) {
    Going *going = &g_array_index(all, Going, i);
    go(q, going);
    moved |= has_moved(q, going);
  }
  int r = moved ? alloc_area(q, q->bitmaps.size, directory) : 0;
  for (guint i = 0; r < 0 && i < all->len; i++) {
    Going *going = &g_array_index(all, Going, i);
    if (!has_moved(q, going))
      continue;
    give_back(q, going);
    give_up(q, going, r);
  }
  r = flush_all(q);
  if (r < 0)
    abandon(q, all, *directory);
  return r;
}

static int store_tables(Qcow2 *q, GArray *all)
{
  for (guint i = 0; i < all->len; i++) {
    Going *going = &g_array_index(all, Going, i);
    int r = going->table ? write_table(q, going) : 0;
    if (r < 0)
      give_up(q, going, r); /* the disk may name the new space, or the old: both stay in use */
    else if (going->table)
      adopt_table(q, going);
  }
  return q->file->ops->flush(q->file);
}

static void free_dropped(Qcow2 *q)
{
  pthread_rwlock_wrlock(&q->lock);
  for (guint i = 0; i < q->bitmaps.dropped->len; i++)
    qcow2_free_later(q, g_array_index(q->bitmaps.dropped, uint64_t, i), true);
  g_array_set_size(q->bitmaps.dropped, 0);
  pthread_rwlock_unlock(&q->lock);
}

static int store(Qcow2 *q, GArray *all)
{
  uint64_t directory;
  int r = start(q, all, &directory);
  if (r < 0)
    return r;
  r = store_tables(q, all);
  if (directory && r < 0)
    free_area(q, directory, q->bitmaps.size);
  else if (directory)
    r = write_directory(q, directory);
  if (r == 0)
    r = name_directory(q);
  if (r == 0)
    r = qcow2_bitmaps_unmark(q);
  if (r == 0)
    free_dropped(q);
  return r;
}

static void clear_going(void *data)
{
  g_free(((Going *)data)->table);
}

int qcow2_bitmaps_store(Qcow2 *q)
{
  if (atomic_load(&q->damaged))
    return 0;
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Going));
  g_array_set_clear_func(all, clear_going);
  for (uint32_t i = 0; i < q->bitmaps.count; i++) {
    Going going = {.bitmap = &q->bitmaps.list[i]};
    if (!going.bitmap->marked)
      continue;
    if (going.bitmap->bits && !bg_bitmap_is_inconsistent(going.bitmap->bits))
      g_array_append_val(all, going);
    else
      going.bitmap->marked = false; /* in use for good */
  }
  if (!q->bitmaps.dropped)
    q->bitmaps.dropped = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  return all->len ? store(q, all) : 0;
}
