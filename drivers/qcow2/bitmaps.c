/* The directory of bitmaps: what it says, and the marks of those in use. The marks are set and cleared where they are: each is within a
 * sector, so that whatever of such a write reaches the disk leaves a good directory. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

static void clear_one(Qcow2Bitmap *bitmap)
{
  g_free(bitmap->name);
  g_free(bitmap->unfit);
  g_free(bitmap->table);
}

void qcow2_bitmaps_clear(Qcow2Bitmaps *bitmaps)
{
  for (uint32_t i = 0; i < bitmaps->count; i++)
    clear_one(&bitmaps->list[i]);
  g_free(bitmaps->list);
  g_free(bitmaps->directory);
  g_free(bitmaps->damage);
  if (bitmaps->dropped)
    g_array_unref(bitmaps->dropped);
  *bitmaps = (Qcow2Bitmaps){0};
}

void qcow2_bitmaps_compact(Qcow2Bitmaps *bitmaps)
{
  uint32_t kept = 0;
  for (uint32_t i = 0; i < bitmaps->count; i++) {
    if (bitmaps->list[i].gone && !bitmaps->list[i].listed)
      clear_one(&bitmaps->list[i]);
    else
      bitmaps->list[kept++] = bitmaps->list[i];
  }
  bitmaps->count = kept;
}

uint64_t qcow2_bitmap_entry_size(const Qcow2Bitmaps *bitmaps, const Qcow2Bitmap *bitmap)
{
  uint64_t bytes = QCOW2_BITMAP_SIZE + strlen(bitmap->name);
  if (bitmap->listed) {
    const uint8_t *entry = bitmaps->directory + bitmap->at;
    bytes = QCOW2_BITMAP_SIZE + (uint64_t)qcow2_get16(entry + QCOW2_BITMAP_NAME_SIZE) +
            qcow2_get32(entry + QCOW2_BITMAP_EXTRA_SIZE);
  }
  return (bytes + 7) & ~UINT64_C(7);
}

uint64_t qcow2_bitmap_entries_for(uint64_t size, unsigned granularity_bits, unsigned cluster_bits)
{
  return qcow2_l1_entries_for(size, granularity_bits + 3 + cluster_bits);
}

/* ── reading ── */

typedef struct Reading {
  const Qcow2Header *header;
  uint64_t file_end; /* rounded up to a cluster */
  Qcow2Bitmaps *into;
  GHashTable *names; /* set */
} Reading;

static void damaged(Qcow2Bitmaps *bitmaps, const char *why)
{
  qcow2_bitmaps_clear(bitmaps);
  bitmaps->damage = g_strdup(why);
}

static bool is_placed(const Reading *reading, const Qcow2Bitmap *bitmap)
{
  uint64_t bytes = (uint64_t)bitmap->table_entries * 8, offset = bitmap->table_offset;
  return bytes && bytes <= QCOW2_MAX_BITMAP_BYTES && offset &&
         (offset & ((UINT64_C(1) << reading->header->cluster_bits) - 1)) == 0 && offset < reading->file_end &&
         bytes <= reading->file_end - offset;
}

/* Why the bitmap cannot be used; NULL: it can. */
static const char *find_fault(const Reading *reading, const Qcow2Bitmap *bitmap, uint32_t extra)
{
  if (!bitmap->placed)
    return "its table cannot be where it is said to be";
  if (bitmap->flags & ~QCOW2_BITMAP_FLAGS_KNOWN)
    return "it has unknown flags";
  if (bitmap->type != QCOW2_BITMAP_DIRTY_TRACKING)
    return "it is of an unknown type";
  if (bitmap->granularity_bits < BG_BITMAP_MIN_GRANULARITY_BITS ||
      bitmap->granularity_bits > BG_BITMAP_MAX_GRANULARITY_BITS)
    return "its granularity is out of range";
  if (extra && !(bitmap->flags & QCOW2_BITMAP_EXTRA_COMPATIBLE))
    return "it has extra data, of which nothing is known";
  if (bitmap->flags & QCOW2_BITMAP_IN_USE)
    return "it was in use and not stored";
  if (bitmap->table_entries !=
      qcow2_bitmap_entries_for(reading->header->size, bitmap->granularity_bits, reading->header->cluster_bits))
    return "its size is not that of the disk";
  return NULL;
}

/* What a name may hold beside printable text is not ours to judge: it has to be unique. */
static const char *check_name(const Reading *reading, const uint8_t *name, uint16_t length)
{
  if (length == 0 || length > QCOW2_MAX_BITMAP_NAME)
    return "its name is empty or longer than 1023 bytes";
  return g_hash_table_add(reading->names, g_bytes_new(name, length)) ? NULL : "another bitmap has the same name";
}

/* Reads the entry at *at and moves on to the next; false if there is none. */
static bool read_entry(const Reading *reading, uint64_t *at)
{
  Qcow2Bitmaps *into = reading->into;
  uint64_t left = into->size - *at;
  if (left < QCOW2_BITMAP_SIZE)
    return false;
  const uint8_t *entry = into->directory + *at;
  uint16_t name = qcow2_get16(entry + QCOW2_BITMAP_NAME_SIZE);
  uint32_t extra = qcow2_get32(entry + QCOW2_BITMAP_EXTRA_SIZE);
  uint64_t length = (QCOW2_BITMAP_SIZE + (uint64_t)name + extra + 7) & ~UINT64_C(7);
  if (length > left)
    return false;
  Qcow2Bitmap *bitmap = &into->list[into->count++];
  bitmap->name = qcow2_printable(entry + QCOW2_BITMAP_SIZE + extra, name);
  bitmap->listed = true;
  bitmap->at = *at;
  bitmap->table_offset = qcow2_get64(entry + QCOW2_BITMAP_TABLE);
  bitmap->table_entries = qcow2_get32(entry + QCOW2_BITMAP_ENTRIES);
  bitmap->flags = qcow2_get32(entry + QCOW2_BITMAP_FLAGS);
  bitmap->records = bitmap->flags & QCOW2_BITMAP_AUTO;
  bitmap->type = entry[QCOW2_BITMAP_TYPE];
  bitmap->granularity_bits = entry[QCOW2_BITMAP_GRANULARITY];
  bitmap->placed = is_placed(reading, bitmap);
  into->owed |=
      (bitmap->flags & QCOW2_BITMAP_IN_USE) != 0; /* whoever set that may have been killed before it was durable */
  const char *fault = check_name(reading, entry + QCOW2_BITMAP_SIZE + extra, name);
  bitmap->unfit = g_strdup(fault ? fault : find_fault(reading, bitmap, extra));
  *at += length;
  return true;
}

static void read_entries(Reading *reading)
{
  Qcow2Bitmaps *into = reading->into;
  uint64_t at = 0;
  reading->names = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
  while (into->count < reading->header->bitmap_count && read_entry(reading, &at))
    ;
  g_hash_table_unref(reading->names);
  if (into->count < reading->header->bitmap_count || at != into->size)
    damaged(into, "The directory of bitmaps has not the size that it says");
}

/* Whether the directory can be where the header says; NULL: it can. */
static const char *check_directory(const Reading *reading)
{
  const Qcow2Header *header = reading->header;
  uint64_t offset = header->bitmaps_offset, size = header->bitmaps_size;
  if (header->bitmaps_at == 0 || header->bitmap_count == 0)
    return "There are no bitmaps, against what the header says";
  if (header->bitmaps_reserved)
    return "The header's bitmaps extension has reserved bits set";
  if (header->bitmap_count > QCOW2_MAX_BITMAPS || size > QCOW2_MAX_BITMAP_BYTES ||
      size / QCOW2_BITMAP_SIZE < header->bitmap_count)
    return "The directory of bitmaps cannot be as large as it is said to be";
  if (offset == 0 || offset & ((UINT64_C(1) << header->cluster_bits) - 1) || offset >= reading->file_end ||
      size > reading->file_end - offset)
    return "The directory of bitmaps cannot be where it is said to be";
  return NULL;
}

bool qcow2_bitmaps_read(BgChild *file, const Qcow2Header *header, Qcow2Bitmaps *bitmaps, GError **error)
{
  g_auto(Qcow2Bitmaps) read = {0};
  uint64_t cluster = UINT64_C(1) << header->cluster_bits;
  int64_t file_size = file->ops->size(file);
  Reading reading = {.header = header, .file_end = ((uint64_t)file_size + cluster - 1) & ~(cluster - 1), .into = &read};
  if (file_size >= 0 && header->autoclear & QCOW2_AUTOCLEAR_BITMAPS) {
    const char *fault = check_directory(&reading);
    if (fault)
      damaged(&read, fault);
  }
  int r = file_size < 0 ? (int)file_size : 0;
  if (r == 0 && header->autoclear & QCOW2_AUTOCLEAR_BITMAPS && !read.damage) {
    read.offset = header->bitmaps_offset;
    read.size = header->bitmaps_size;
    read.directory = g_try_malloc(read.size);
    read.list = g_try_new0(Qcow2Bitmap, header->bitmap_count);
    r = read.directory && read.list ? bg_child_pread(file, read.directory, read.size, read.offset) : -ENOMEM;
    if (r == 0)
      read_entries(&reading);
  }
  if (r < 0) {
    bg_set_error_errno(error, -r, "Cannot read the directory of bitmaps");
    return false;
  }
  *bitmaps = read;
  read = (Qcow2Bitmaps){0};
  return true;
}

/* ── marks ── */

/* Which of them a change of marks is about: those that are ours, and those (setting) that shall be. */
static bool concerns(const Qcow2Bitmap *bitmap, bool set, bool all)
{
  if (!bitmap->listed)
    return false;
  if (!set || bitmap->marked)
    return bitmap->marked;
  return !(bitmap->flags & QCOW2_BITMAP_IN_USE) && (all || bitmap->touched || bitmap->flags & QCOW2_BITMAP_AUTO);
}

/* What says of itself that it is in use stays so. */
static bool is_in_use(const Qcow2Bitmap *bitmap)
{
  return bitmap->flags & QCOW2_BITMAP_IN_USE;
}

static uint32_t flags_with(const Qcow2Bitmap *bitmap, bool in_use)
{
  if (in_use)
    return bitmap->flags | QCOW2_BITMAP_IN_USE;
  return (bitmap->flags & ~(QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO)) | (bitmap->records ? QCOW2_BITMAP_AUTO : 0);
}

/* Writes the directory from the first to the last mark, whatever memory thinks is there, and makes it durable. Setting marks sets all that
 * there are again. */
static int write_marks(Qcow2 *q, bool set, bool all)
{
  const Qcow2Bitmaps *bitmaps = &q->bitmaps;
  uint64_t from = UINT64_MAX, to = 0;
  g_autofree uint8_t *next = g_try_malloc(bitmaps->size);
  if (!next)
    return -ENOMEM;
  memcpy(next, bitmaps->directory, bitmaps->size);
  for (uint32_t i = 0; i < bitmaps->count; i++) {
    const Qcow2Bitmap *bitmap = &bitmaps->list[i];
    if (!concerns(bitmap, set, all) && !(set && is_in_use(bitmap)))
      continue;
    uint64_t at = bitmap->at + QCOW2_BITMAP_FLAGS;
    qcow2_put32(next + at, flags_with(bitmap, set));
    from = MIN(from, at);
    to = at + 4;
  }
  int r = bg_child_pwrite(q->file, next + from, to - from, bitmaps->offset + from);
  return r < 0 ? r : q->file->ops->flush(q->file);
}

static void adopt_marks(Qcow2 *q, bool set, bool all)
{
  Qcow2Bitmaps *bitmaps = &q->bitmaps;
  pthread_rwlock_wrlock(&q->lock);
  for (uint32_t i = 0; i < bitmaps->count; i++) {
    Qcow2Bitmap *bitmap = &bitmaps->list[i];
    if (!concerns(bitmap, set, all))
      continue;
    bitmap->marked = set;
    bitmap->touched = bitmap->touched && set;
    bitmap->flags = flags_with(bitmap, set);
    qcow2_put32(bitmaps->directory + bitmap->at + QCOW2_BITMAP_FLAGS, bitmap->flags);
  }
  pthread_rwlock_unlock(&q->lock);
}

/* After a failure nobody knows what the disk says: the marks are owed. */
static int change_marks(Qcow2 *q, bool set, bool all)
{
  int r = write_marks(q, set, all);
  q->bitmaps.owed = r < 0;
  if (r == 0)
    adopt_marks(q, set, all);
  return r;
}

int qcow2_bitmaps_mark(Qcow2 *q, bool all)
{
  bool any = false;
  for (uint32_t i = 0; i < q->bitmaps.count; i++) {
    const Qcow2Bitmap *bitmap = &q->bitmaps.list[i];
    any |= (concerns(bitmap, true, all) && !bitmap->marked) || (q->bitmaps.owed && is_in_use(bitmap));
  }
  return any ? change_marks(q, true, all) : 0;
}

int qcow2_bitmaps_unmark(Qcow2 *q)
{
  bool any = false;
  for (uint32_t i = 0; i < q->bitmaps.count; i++)
    any |= concerns(&q->bitmaps.list[i], false, false);
  return any ? change_marks(q, false, false) : 0;
}
