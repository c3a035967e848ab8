/* What the directory of persistent bitmaps names. */
#include "drivers/qcow2/check-pass.h"

#include <errno.h>
#include <inttypes.h>

enum { PIECE = 8192 };

static void unreadable(Qcow2Check *check, const char *what, int r)
{
  qcow2_check_found(check, QCOW2_UNREADABLE, 1, "A %s of bitmaps cannot be read: %s", what, g_strerror(-r));
  check->incomplete = true;
}

static int walk_entry(Qcow2Check *check, uint64_t entry)
{
  uint64_t at = qcow2_entry_offset(entry);
  if (entry & QCOW2_BITMAP_TABLE_RESERVED || at & (check->q->cluster_size - 1) || (at && entry & 1)) {
    qcow2_check_found(check, QCOW2_STRUCTURE, 1, "The entry 0x%" PRIx64 " of a bitmap's table is false", entry);
    return 0;
  }
  return at ? qcow2_check_refer(check, "part of a bitmap", at, check->q->cluster_size, 1, NULL) : 0;
}

static int walk_table(Qcow2Check *check, uint64_t offset, uint64_t count)
{
  bool inside;
  int r = qcow2_check_refer_metadata(check, "bitmap's table", offset, count * 8, &inside);
  if (r < 0 || !inside)
    return r;
  g_autofree uint64_t *piece = g_new(uint64_t, PIECE);
  for (uint64_t i = 0; i < count; i += PIECE) {
    uint64_t here = MIN(count - i, (uint64_t)PIECE);
    r = bg_child_pread(check->file, piece, here * 8, offset + i * 8);
    if (r < 0) {
      unreadable(check, "table", r);
      return 0;
    }
    for (uint64_t j = 0; j < here && r == 0; j++)
      if (piece[j])
        r = walk_entry(check, be64toh(piece[j]));
    if (r == 0)
      r = qcow2_check_progress(check, 0);
    if (r < 0)
      return r;
  }
  return 0;
}

static int false_directory(Qcow2Check *check, const char *why)
{
  qcow2_check_found(check, QCOW2_STRUCTURE, 1, "The directory of bitmaps %s", why);
  check->incomplete = true;
  return 0;
}

/* One that was in use may be of another size than the disk has now. */
static bool is_too_small(const Qcow2Check *check, const uint8_t *entry)
{
  unsigned bits = MIN(entry[QCOW2_BITMAP_GRANULARITY], 63u - 3 - check->header.cluster_bits);
  return !(qcow2_get32(entry + QCOW2_BITMAP_FLAGS) & QCOW2_BITMAP_IN_USE) &&
         qcow2_get32(entry + QCOW2_BITMAP_ENTRIES) <
             qcow2_bitmap_entries_for(check->header.size, bits, check->header.cluster_bits);
}

/* What the format forbids, whether or not anybody could use the bitmap. NULL: nothing. `names`: those before. */
static const char *find_fault(const Qcow2Check *check, const uint8_t *entry, GHashTable *names)
{
  uint16_t length = qcow2_get16(entry + QCOW2_BITMAP_NAME_SIZE);
  const uint8_t *name = entry + QCOW2_BITMAP_SIZE + qcow2_get32(entry + QCOW2_BITMAP_EXTRA_SIZE);
  if (qcow2_get64(entry + QCOW2_BITMAP_TABLE) & (check->q->cluster_size - 1))
    return "has its table at an unaligned offset";
  if (qcow2_get32(entry + QCOW2_BITMAP_FLAGS) & ~QCOW2_BITMAP_FLAGS_KNOWN)
    return "has reserved flags set";
  if (entry[QCOW2_BITMAP_TYPE] != QCOW2_BITMAP_DIRTY_TRACKING)
    return "is of a reserved type";
  if (entry[QCOW2_BITMAP_GRANULARITY] > 63)
    return "has an impossible granularity";
  if (is_too_small(check, entry))
    return "is smaller than that of a disk of this size";
  return g_hash_table_add(names, g_bytes_new(name, length)) ? NULL : "has the name of another one";
}

/* One that is not well formed has references all the same. */
static int walk_bitmap(Qcow2Check *check, const uint8_t *entry, uint32_t number, GHashTable *names)
{
  const char *fault = find_fault(check, entry, names);
  if (fault)
    qcow2_check_found(check, QCOW2_STRUCTURE, 1, "Bitmap %u of the directory %s", number, fault);
  if (qcow2_get16(entry + QCOW2_BITMAP_NAME_SIZE) ==
      0) /* against the format, and no fault to qemu-img, which can do all with it */
    qcow2_check_tell(check, "Bitmap %u of the directory has no name", number);
  return walk_table(check, qcow2_get64(entry + QCOW2_BITMAP_TABLE), qcow2_get32(entry + QCOW2_BITMAP_ENTRIES));
}

static int walk_directory(Qcow2Check *check, const uint8_t *directory, uint64_t size)
{
  uint64_t at = 0, bytes = 0;
  g_autoptr(GHashTable) names = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
  for (uint32_t i = 0; i < check->header.bitmap_count; i++) {
    if (size - at < QCOW2_BITMAP_SIZE)
      return false_directory(check, "ends too early");
    const uint8_t *entry = directory + at;
    uint64_t count = qcow2_get32(entry + QCOW2_BITMAP_ENTRIES);
    uint64_t length = QCOW2_BITMAP_SIZE + (uint64_t)qcow2_get16(entry + QCOW2_BITMAP_NAME_SIZE) +
                      qcow2_get32(entry + QCOW2_BITMAP_EXTRA_SIZE);
    length = (length + 7) & ~UINT64_C(7);
    if (length > size - at)
      return false_directory(check, "ends too early");
    bytes += count * 8;
    if (count * 8 > QCOW2_MAX_BITMAP_BYTES || bytes > check->file_size + check->q->cluster_size)
      return false_directory(check, "names tables that cannot be as large as they say");
    int r = walk_bitmap(check, entry, i, names);
    if (r < 0)
      return r;
    at += length;
  }
  return at == size ? 0 : false_directory(check, "is longer than its entries");
}

int qcow2_check_walk_bitmaps(Qcow2Check *check)
{
  const Qcow2Header *header = &check->header;
  uint64_t size = header->bitmaps_size;
  bool inside;
  /* Without the bit nobody vouches for them: their clusters are free to be given back. */
  if (!(header->autoclear & QCOW2_AUTOCLEAR_BITMAPS) || header->bitmaps_at == 0)
    return 0;
  if (header->bitmap_count == 0)
    return false_directory(check, "has no entries");
  if (header->bitmap_count > QCOW2_MAX_BITMAPS || size > QCOW2_MAX_BITMAP_BYTES)
    return false_directory(check, "is larger than it can be");
  int r = qcow2_check_refer_metadata(check, "directory of bitmaps", header->bitmaps_offset, size, &inside);
  if (r < 0)
    return r;
  if (!inside)
    return false_directory(check, "lies past the end of the file");
  g_autofree uint8_t *directory = g_try_malloc(MAX(size, 1));
  if (!directory)
    return -ENOMEM;
  r = size ? bg_child_pread(check->file, directory, size, header->bitmaps_offset) : 0;
  if (r == 0)
    return walk_directory(check, directory, size);
  unreadable(check, "directory", r);
  return 0;
}
