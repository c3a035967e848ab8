#include "tests/drivers/qcow2/references.h"

#include <endian.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)

typedef struct Walk {
  const uint8_t *bytes;
  uint64_t size;
  unsigned cluster_bits, refcount_order;
  bool external; /* data lies in a data file: nothing counts its references */
  unsigned entry_size;
  GHashTable *references; /* cluster to count */
  ImageCheck *check;
} Walk;

static uint64_t get64(const Walk *w, uint64_t at)
{
  uint64_t value = 0;
  if (at < w->size)
    memcpy(&value, w->bytes + at, MIN(8, w->size - at));
  return be64toh(value);
}

static uint32_t get32(const Walk *w, uint64_t at)
{
  return get64(w, at) >> 32;
}

/* Whether the 512 bytes there count and name nothing. */
static bool is_empty(const Walk *w, uint64_t at)
{
  static const uint8_t zeros[512];
  return at >= w->size || memcmp(w->bytes + at, zeros, MIN(sizeof zeros, w->size - at)) == 0;
}

static void corruption(Walk *w, const char *what, uint64_t at)
{
  if (!w->check->corruptions++)
    g_snprintf(w->check->first, sizeof w->check->first, "%s at 0x%" G_GINT64_MODIFIER "x", what, at);
}

static void refer(Walk *w, uint64_t offset, uint64_t length)
{
  if (length == 0)
    return;
  for (uint64_t i = offset >> w->cluster_bits; i <= (offset + length - 1) >> w->cluster_bits; i++) {
    size_t count = GPOINTER_TO_SIZE(g_hash_table_lookup(w->references, GSIZE_TO_POINTER(i)));
    g_hash_table_insert(w->references, GSIZE_TO_POINTER(i), GSIZE_TO_POINTER(count + 1));
  }
}

static uint64_t refcount(const Walk *w, uint64_t cluster)
{
  uint64_t per_block = (UINT64_C(8) << w->cluster_bits) >> w->refcount_order;
  uint64_t entries = (uint64_t)get32(w, 56) << w->cluster_bits >> 3;
  uint64_t block = cluster / per_block < entries ? get64(w, get64(w, 48) + cluster / per_block * 8) : 0;
  if (!block)
    return 0;
  uint64_t bit = (cluster % per_block) << w->refcount_order;
  if (w->refcount_order < 3)
    return (get64(w, block + bit / 8) >> (56 + bit % 8)) & ((1u << (1 << w->refcount_order)) - 1);
  return get64(w, block + bit / 8) >> (64 - (1 << w->refcount_order));
}

static void check_offset(Walk *w, const char *what, uint64_t offset, uint64_t entry, bool active)
{
  uint64_t cluster = UINT64_C(1) << w->cluster_bits;
  if (offset & (cluster - 1) || offset >= w->size + cluster)
    corruption(w, what, offset);
  else if (active && !!(entry >> 63) != (refcount(w, offset >> w->cluster_bits) == 1))
    corruption(w, "false COPIED flag", offset);
}

static void check_bitmap(Walk *w, uint64_t entry, uint64_t bitmap)
{
  bool compressed = entry & UINT64_C(1) << 62;
  bool nowhere = !(entry & OFFSET_MASK) && !(w->external && entry >> 63);
  if (compressed ? bitmap != 0 : (bitmap & bitmap >> 32 || (nowhere && (uint32_t)bitmap) || entry & 1))
    corruption(w, "false subclusters", entry);
}

static void walk_l2(Walk *w, uint64_t table, bool active)
{
  uint64_t cluster = UINT64_C(1) << w->cluster_bits;
  for (uint64_t at = table; at < table + cluster; at += w->entry_size) {
    if (at % 512 == 0 && is_empty(w, at)) {
      at += 512 - w->entry_size;
      continue;
    }
    uint64_t entry = get64(w, at), offset = entry & OFFSET_MASK;
    if (w->entry_size == 16)
      check_bitmap(w, entry, get64(w, at + 8));
    if (w->external)
      continue;
    if (entry & UINT64_C(1) << 62) {
      unsigned bits = 62 - (w->cluster_bits - 8);
      uint64_t from = entry & ((UINT64_C(1) << bits) - 1);
      uint64_t sectors = ((entry & ~(UINT64_C(3) << 62)) >> bits) + 1;
      refer(w, from, sectors * 512 - (from & 511));
    } else if (offset) {
      check_offset(w, "data cluster", offset, entry, active);
      refer(w, offset, cluster);
    }
  }
}

static void walk_l1(Walk *w, uint64_t table, uint64_t entries, bool active)
{
  uint64_t cluster = UINT64_C(1) << w->cluster_bits;
  refer(w, table, entries * 8);
  for (uint64_t i = 0; i < entries; i++) {
    uint64_t entry = get64(w, table + i * 8), offset = entry & OFFSET_MASK;
    if (!offset)
      continue;
    check_offset(w, "L2 table", offset, entry, active);
    refer(w, offset, cluster);
    walk_l2(w, offset, active);
  }
}

static void walk_snapshots(Walk *w)
{
  uint64_t start = get64(w, 64), at = start;
  for (uint32_t left = get32(w, 60); left; left--) {
    walk_l1(w, get64(w, at), get32(w, at + 8), false);
    uint64_t texts = (get32(w, at + 12) >> 16) + (get32(w, at + 12) & 0xffff);
    at = (at + 40 + get32(w, at + 36) + texts + 7) & ~UINT64_C(7);
  }
  refer(w, start, at - start);
}

static void walk_bitmap(Walk *w, uint64_t table, uint64_t entries)
{
  uint64_t cluster = UINT64_C(1) << w->cluster_bits;
  refer(w, table, entries * 8);
  for (uint64_t i = 0; i < entries; i++) {
    uint64_t entry = get64(w, table + i * 8), offset = entry & OFFSET_MASK;
    if (entry & ~OFFSET_MASK & ~UINT64_C(1) || (offset && entry & 1) || offset & (cluster - 1))
      corruption(w, "false entry of a bitmap's table", table + i * 8);
    else if (offset)
      refer(w, offset, cluster);
  }
}

/* Where the data of the header's extension of that type lies; 0: there is none. */
static uint64_t find_extension(const Walk *w, uint32_t type)
{
  uint64_t at = get32(w, 4) < 3 ? 72 : get32(w, 100);
  for (; get32(w, at) && get32(w, at) != type; at += 8 + ((get32(w, at + 4) + 7) & ~7u))
    ;
  return get32(w, at) ? at + 8 : 0;
}

/* What the bitmaps extension names, where its autoclear bit is set. */
static void walk_bitmaps(Walk *w)
{
  uint64_t at = get32(w, 4) < 3 || !(get64(w, 88) & 1) ? 0 : find_extension(w, 0x23852875);
  if (!at)
    return;
  uint64_t entry = get64(w, at + 16), size = get64(w, at + 8), end = entry + size;
  refer(w, entry, size);
  for (uint32_t left = get32(w, at); left && entry < end; left--) {
    walk_bitmap(w, get64(w, entry), get32(w, entry + 8));
    entry = (entry + 24 + (get32(w, entry + 16) & 0xffff) + get32(w, entry + 20) + 7) & ~UINT64_C(7);
  }
}

static void walk_encryption(Walk *w)
{
  uint64_t at = get32(w, 32) == 2 ? find_extension(w, 0x0537be77) : 0;
  if (at)
    refer(w, get64(w, at), get64(w, at + 8));
}

static void find_leaks(Walk *w, uint64_t first, uint64_t count)
{
  for (uint64_t i = first; i < first + count; i++) {
    if (refcount(w, i) <= GPOINTER_TO_SIZE(g_hash_table_lookup(w->references, GSIZE_TO_POINTER(i))))
      continue;
    w->check->leaks++;
    w->check->leaks_beyond += i << w->cluster_bits >= w->size;
  }
}

static void compare_refcounts(Walk *w)
{
  uint64_t per_block = (UINT64_C(8) << w->cluster_bits) >> w->refcount_order;
  uint64_t entries = (uint64_t)get32(w, 56) << w->cluster_bits >> 3;
  GHashTableIter iter;
  void *key, *value;
  g_hash_table_iter_init(&iter, w->references);
  while (g_hash_table_iter_next(&iter, &key, &value))
    if (GPOINTER_TO_SIZE(value) > refcount(w, GPOINTER_TO_SIZE(key)))
      corruption(w, "refcount too low", GPOINTER_TO_SIZE(key) << w->cluster_bits);
  for (uint64_t i = 0; i < entries; i++) {
    uint64_t block = get64(w, get64(w, 48) + i * 8);
    for (uint64_t at = 0; block && at < UINT64_C(1) << w->cluster_bits; at += 512)
      if (!is_empty(w, block + at))
        find_leaks(w, i * per_block + (at * 8 >> w->refcount_order), 512 * 8 >> w->refcount_order);
  }
}

void references_check(const uint8_t *bytes, uint64_t size, ImageCheck *check)
{
  *check = (ImageCheck){0};
  Walk w = {.bytes = bytes, .size = size, .check = check};
  w.cluster_bits = get32(&w, 20);
  w.refcount_order = get32(&w, 4) < 3 ? 4 : get32(&w, 96);
  uint64_t incompatible = get32(&w, 4) < 3 ? 0 : get64(&w, 72);
  w.external = incompatible & 4;
  w.entry_size = incompatible & 16 ? 16 : 8;
  w.references = g_hash_table_new(NULL, NULL);
  uint64_t cluster = UINT64_C(1) << w.cluster_bits, reftable = get64(&w, 48);
  uint64_t reftable_bytes = (uint64_t)get32(&w, 56) << w.cluster_bits;
  refer(&w, 0, cluster);
  refer(&w, reftable, reftable_bytes);
  for (uint64_t at = reftable; at < reftable + reftable_bytes; at += 8)
    if (get64(&w, at))
      refer(&w, get64(&w, at), cluster);
  walk_l1(&w, get64(&w, 40), get32(&w, 36), true);
  walk_snapshots(&w);
  walk_bitmaps(&w);
  walk_encryption(&w);
  compare_refcounts(&w);
  g_hash_table_unref(w.references);
}
