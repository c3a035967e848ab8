/* Bitmaps back into the image. All are marked as in use on disk, so their bits and tables may be written over where they are:
 *
 *   1. bits, and refcounts of clusters that are new; flush
 *   2. tables; flush. Each entry is old or new, and what either names is allocated
 *   3. where tables moved (the disk has another size), or bitmaps came or went: the header names a directory at a new place, with the marks
 *      still set; flush
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

/* One that no directory has yet never gets into one. */
static void give_up(Qcow2 *q, Going *going, int r)
{
  g_autofree char *text = g_strdup_printf("The bitmap '%s' could not be stored and is not valid any more: %s",
                                          going->bitmap->name, g_strerror(-r));
  going->bitmap->marked = false; /* never to be taken off */
  going->bitmap->gone = !going->bitmap->listed;
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
  bitmap->placed = true;
  pthread_rwlock_unlock(&q->lock);
}

/* ── 3: another directory ── */

/* The directory on disk names another table, or none. */
static bool has_moved(const Qcow2 *q, const Going *going)
{
  const Qcow2Bitmap *bitmap = going->bitmap;
  return going->table &&
         (!bitmap->listed || going->offset != qcow2_get64(q->bitmaps.directory + bitmap->at + QCOW2_BITMAP_TABLE));
}

static uint64_t directory_size(const Qcow2Bitmaps *bitmaps)
{
  uint64_t size = 0;
  for (uint32_t i = 0; i < bitmaps->count; i++)
    size += bitmaps->list[i].gone ? 0 : qcow2_bitmap_entry_size(bitmaps, &bitmaps->list[i]);
  return size;
}

static uint32_t new_flags(const Qcow2Bitmap *bitmap)
{
  return QCOW2_BITMAP_IN_USE | (bitmap->records ? QCOW2_BITMAP_AUTO : 0);
}

static void put_new_entry(uint8_t *entry, const Qcow2Bitmap *bitmap)
{
  size_t length = strlen(bitmap->name);
  qcow2_put32(entry + QCOW2_BITMAP_FLAGS, new_flags(bitmap));
  entry[QCOW2_BITMAP_TYPE] = bitmap->type;
  entry[QCOW2_BITMAP_GRANULARITY] = bitmap->granularity_bits;
  qcow2_put16(entry + QCOW2_BITMAP_NAME_SIZE, (uint16_t)length);
  memcpy(entry + QCOW2_BITMAP_SIZE, bitmap->name, length);
}

/* Of those that stay, with the tables as they are in memory, and all marks; NULL where memory is short. */
static uint8_t *make_directory(const Qcow2Bitmaps *bitmaps, uint64_t size)
{
  uint8_t *directory = g_try_malloc0(MAX(size, 1)), *entry = directory;
  for (uint32_t i = 0; directory && i < bitmaps->count; i++) {
    const Qcow2Bitmap *bitmap = &bitmaps->list[i];
    if (bitmap->gone)
      continue;
    uint64_t length = qcow2_bitmap_entry_size(bitmaps, bitmap);
    if (bitmap->listed)
      memcpy(entry, bitmaps->directory + bitmap->at, length);
    else
      put_new_entry(entry, bitmap);
    qcow2_put64(entry + QCOW2_BITMAP_TABLE, bitmap->table_offset);
    qcow2_put32(entry + QCOW2_BITMAP_ENTRIES, bitmap->table_entries);
    entry += length;
  }
  return directory;
}

/* What those have that are not in the new directory. Where it cannot be told, it stays nobody's. */
static void drop_gone(Qcow2 *q)
{
  for (uint32_t i = 0; i < q->bitmaps.count; i++) {
    Qcow2Bitmap *bitmap = &q->bitmaps.list[i];
    if (!bitmap->gone || !bitmap->placed || !(bitmap->table || qcow2_bitmaps_load_table(q, bitmap)))
      continue;
    for (uint32_t j = 0; j < bitmap->table_entries; j++)
      if (qcow2_entry_offset(bitmap->table[j]))
        drop_area(q, qcow2_entry_offset(bitmap->table[j]), q->cluster_size);
    drop_area(q, bitmap->table_offset, (uint64_t)bitmap->table_entries * 8);
  }
}

/* `directory`, which is taken, is what the disk has at `offset`. */
static void adopt_directory(Qcow2 *q, uint8_t *directory, uint64_t offset, uint64_t size)
{
  Qcow2Bitmaps *bitmaps = &q->bitmaps;
  uint64_t at = 0;
  drop_gone(q);
  drop_area(q, bitmaps->offset, bitmaps->size);
  pthread_rwlock_wrlock(&q->lock);
  for (uint32_t i = 0; i < bitmaps->count; i++) {
    Qcow2Bitmap *bitmap = &bitmaps->list[i];
    uint64_t length = qcow2_bitmap_entry_size(bitmaps, bitmap);
    if (!bitmap->gone && !bitmap->listed)
      bitmap->flags = new_flags(bitmap);
    bitmap->listed = !bitmap->gone;
    bitmap->at = at;
    at += bitmap->gone ? 0 : length;
  }
  qcow2_bitmaps_compact(bitmaps);
  g_free(bitmaps->directory);
  bitmaps->directory = directory;
  bitmaps->offset = offset;
  bitmaps->size = size;
  qcow2_overlap_ranges(q);
  pthread_rwlock_unlock(&q->lock);
}

/* Written and durable, in an area that was got for `room` bytes; the header does not name it yet. */
static int write_directory(Qcow2 *q, uint64_t offset, uint64_t room)
{
  uint64_t size = directory_size(&q->bitmaps), used = clusters_for(q, size) << q->cluster_bits;
  uint8_t *directory = make_directory(&q->bitmaps, size);
  int r = !directory ? -ENOMEM : size ? bg_child_pwrite(q->file, directory, size, offset) : 0;
  if (r == 0)
    r = q->file->ops->flush(q->file);
  if (r < 0) {
    g_free(directory);
    free_area(q, offset, room);
    return r;
  }
  if (used < room)
    free_area(q, offset + used, room - used);
  adopt_directory(q, directory, size ? offset : 0, size);
  return 0;
}

/* ── the whole ── */

static int flush_all(Qcow2 *q)
{
  int r = qcow2_write_back(q);
  return r < 0 ? r : q->file->ops->flush(q->file);
}

/* What a store is about. */
typedef struct Store {
  GArray *all;     /* Going */
  bool relists;    /* the directory is written anew: tables moved, or bitmaps came or went */
  uint64_t offset; /* space for that, of `room` bytes; 0: none is needed */
  uint64_t room;
} Store;

static void free_directory(Qcow2 *q, const Store *store)
{
  if (store->offset)
    free_area(q, store->offset, store->room);
}

static void abandon(Qcow2 *q, const Store *store)
{
  for (guint i = 0; i < store->all->len; i++)
    if (g_array_index(store->all, Going, i).table)
      give_back(q, &g_array_index(store->all, Going, i));
  free_directory(q, store);
}

static int place_directory(Qcow2 *q, Store *store)
{
  store->room = store->relists ? directory_size(&q->bitmaps) : 0;
  return store->room ? alloc_area(q, store->room, &store->offset) : 0;
}

/* Without a new directory, what needs one is not stored. */
static void give_up_moved(Qcow2 *q, Store *store, int r)
{
  store->relists = false;
  for (guint i = 0; i < store->all->len; i++) {
    Going *going = &g_array_index(store->all, Going, i);
    if (!has_moved(q, going))
      continue;
    give_back(q, going);
    give_up(q, going, r);
  }
}

/* Bits, and space for tables and directory. Durable but for the directory. */
static int start(Qcow2 *q, Store *store)
{
  for (guint i = 0; i < store->all->len; i++) {
    Going *going = &g_array_index(store->all, Going, i);
    go(q, going);
    store->relists |= has_moved(q, going);
  }
  int r = place_directory(q, store);
  if (r < 0)
    give_up_moved(q, store, r);
  r = flush_all(q);
  if (r < 0)
    abandon(q, store);
  return r;
}

static int store_tables(Qcow2 *q, const GArray *all)
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
  qcow2_bitmaps_compact(&q->bitmaps);
  pthread_rwlock_unlock(&q->lock);
}

static int run(Qcow2 *q, Store *store)
{
  int r = start(q, store);
  if (r < 0)
    return r;
  r = store_tables(q, store->all);
  if (r < 0)
    free_directory(q, store);
  else if (store->relists)
    r = write_directory(q, store->offset, store->room);
  if (r == 0)
    r = qcow2_bitmaps_name(q);
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

/* In use for good; of one that is not on disk nothing comes there. */
static void leave_marked(Qcow2Bitmap *bitmap)
{
  bitmap->marked = false;
  bitmap->gone = !bitmap->listed;
}

static void take(Store *store, Qcow2Bitmap *bitmap)
{
  Going going = {.bitmap = bitmap};
  BgBitmapSpec spec;
  if (!bitmap->marked || bitmap->gone)
    return;
  if (!bitmap->bits || bg_bitmap_is_inconsistent(bitmap->bits)) {
    leave_marked(bitmap);
    return;
  }
  bg_bitmap_look(bitmap->bits, &spec);
  bitmap->records = spec.recording;
  g_array_append_val(store->all, going);
}

int qcow2_bitmaps_store(Qcow2 *q)
{
  if (atomic_load(&q->damaged))
    return 0;
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Going));
  g_array_set_clear_func(all, clear_going);
  Store store = {.all = all};
  for (uint32_t i = 0; i < q->bitmaps.count; i++) {
    take(&store, &q->bitmaps.list[i]);
    store.relists |= q->bitmaps.list[i].gone;
  }
  if (!q->bitmaps.dropped)
    q->bitmaps.dropped = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  return all->len || store.relists || !qcow2_bitmaps_are_named(q) ? run(q, &store) : 0;
}
