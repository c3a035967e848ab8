#include "tests/crash/qcow2-bitmaps.h"

#include "drivers/qcow2/layout.h"
#include "tests/drivers/mem-child.h"

#include <errno.h>
#include <inttypes.h>

enum { SECTOR = 512 };

typedef struct Bitmap {
  const uint8_t *bytes; /* of the image */
  uint64_t cluster, table, entries;
  unsigned granularity_bits;
} Bitmap;

/* The data of the bitmaps extension; NULL: the image has no valid bitmaps. */
static const uint8_t *find_extension(const uint8_t *bytes)
{
  if (qcow2_get32(bytes + QCOW2_H_VERSION) < 3 || !(qcow2_get64(bytes + QCOW2_H_AUTOCLEAR) & QCOW2_AUTOCLEAR_BITMAPS))
    return NULL;
  const uint8_t *at = bytes + qcow2_get32(bytes + QCOW2_H_HEADER_LENGTH);
  while (qcow2_get32(at) != QCOW2_EXT_BITMAPS)
    at += 8 + ((qcow2_get32(at + 4) + 7) & ~7u);
  return at + 8;
}

static bool is_dirty(const Bitmap *bitmap, uint64_t offset)
{
  uint64_t bit = offset >> bitmap->granularity_bits, index = bit / 8 / bitmap->cluster;
  uint64_t entry = index < bitmap->entries ? qcow2_get64(bitmap->bytes + bitmap->table + index * 8) : 0;
  if (!(entry & QCOW2_OFFSET_MASK))
    return entry & QCOW2_BITMAP_ONES;
  return bitmap->bytes[(entry & QCOW2_OFFSET_MASK) + bit / 8 % bitmap->cluster] >> bit % 8 & 1;
}

static bool covers(const Bitmap *bitmap, const uint8_t *before, const uint8_t *after, uint64_t size, GError **error)
{
  for (uint64_t at = 0; at < size; at += SECTOR) {
    if (memcmp(before + at, after + at, MIN(SECTOR, size - at)) == 0 || is_dirty(bitmap, at))
      continue;
    bg_set_error(error, EILSEQ, "a valid bitmap of granularity %u misses the change of sector %" PRIu64,
                 1u << bitmap->granularity_bits, at / SECTOR);
    return false;
  }
  return true;
}

static uint64_t entries_for(const Bitmap *bitmap, uint64_t size)
{
  uint64_t covered = (bitmap->cluster * 8) << bitmap->granularity_bits;
  return (size + covered - 1) / covered;
}

bool qcow2_bitmaps_cover(const CrashFormat *format, BgChild *image, const uint8_t *before, const uint8_t *after,
                         uint64_t size, GError **error)
{
  (void)format;
  const uint8_t *bytes = mem_child_data(image), *extension = find_extension(bytes);
  if (!extension) {
    bg_set_error(error, EILSEQ, "the bitmaps are gone");
    return false;
  }
  const uint8_t *entry = bytes + qcow2_get64(extension + 16);
  for (uint32_t i = 0; i < qcow2_get32(extension); i++) {
    uint32_t flags = qcow2_get32(entry + QCOW2_BITMAP_FLAGS);
    Bitmap bitmap = {bytes, UINT64_C(1) << qcow2_get32(bytes + QCOW2_H_CLUSTER_BITS),
                     qcow2_get64(entry + QCOW2_BITMAP_TABLE), qcow2_get32(entry + QCOW2_BITMAP_ENTRIES),
                     entry[QCOW2_BITMAP_GRANULARITY]};
    bool valid = !(flags & QCOW2_BITMAP_IN_USE);
    if (valid && bitmap.entries != entries_for(&bitmap, size)) {
      bg_set_error(error, EILSEQ, "a valid bitmap has not the disk's size");
      return false;
    }
    if (valid && flags & QCOW2_BITMAP_AUTO && !covers(&bitmap, before, after, size, error))
      return false;
    entry += (QCOW2_BITMAP_SIZE + qcow2_get16(entry + QCOW2_BITMAP_NAME_SIZE) + 7u) & ~7u;
  }
  return true;
}
