#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/image.h"

#include <errno.h>

enum { TRIES_WITHOUT_LOCK = 4 };

/* Whether data may be written over the cluster that the entry names. */
static bool in_place(Qcow2 *q, Qcow2Entry entry)
{
  if (!q->writable || atomic_load_explicit(&q->damaged, memory_order_relaxed))
    return false;
  return q->external ||
         (entry.word & QCOW2_COPIED && !qcow2_is_metadata(q, qcow2_entry_offset(entry.word) >> q->cluster_bits));
}

/* The subcluster, from the cluster's byte `in_cluster` on. */
static void describe(Qcow2 *q, Qcow2Entry entry, uint64_t in_cluster, BgExtent *extent)
{
  static const BgExtentKind kinds[] = {
      [QCOW2_UNALLOCATED] = BG_EXTENT_BACKING, [QCOW2_ZERO_PLAIN] = BG_EXTENT_ZERO,
      [QCOW2_ZERO_ALLOCATED] = BG_EXTENT_ZERO, [QCOW2_NORMAL] = BG_EXTENT_DATA,
      [QCOW2_DEFLATED] = BG_EXTENT_SPECIAL,
  };
  Qcow2Kind kind = qcow2_entry_kind(q, entry, in_cluster >> q->sub_bits);
  *extent = (BgExtent){.kind = kinds[kind]};
  if (kind == QCOW2_NORMAL || kind == QCOW2_ZERO_ALLOCATED) {
    extent->child = q->data;
    extent->offset = qcow2_entry_offset(entry.word) + in_cluster;
    extent->flags = q->crypto ? BG_EXTENT_ENCODED : 0;
  }
  if (kind == QCOW2_NORMAL && in_place(q, entry))
    extent->flags |= BG_EXTENT_IN_PLACE;
}

/* Whether `next`, `distance` bytes after the extent's start, goes on with it. */
static bool continues(const BgExtent *extent, const BgExtent *next, uint64_t distance)
{
  return next->kind == extent->kind && next->flags == extent->flags && next->child == extent->child &&
         (!next->child || next->offset == extent->offset + distance);
}

static int map_table(Qcow2 *q, const Qcow2Table *table, uint64_t offset, uint64_t length, BgExtent *extent)
{
  uint64_t index = qcow2_l2_index(q, offset), at = offset & (q->cluster_size - 1), guest = offset - at;
  Qcow2Entry entry = qcow2_l2_entry(q, table, index);
  int r = qcow2_entry_check(q, entry, guest);
  if (r < 0)
    return r;
  BgExtent found, next;
  describe(q, entry, at, &found);
  found.length = q->sub_size - (at & (q->sub_size - 1));
  at += found.length;
  for (; found.length < length; found.length += q->sub_size, at += q->sub_size) {
    if (at == q->cluster_size) {
      if (++index == q->l2_entries)
        break;
      at = 0;
      guest += q->cluster_size;
      entry = qcow2_l2_entry(q, table, index);
      if (qcow2_entry_check(q, entry, guest) < 0)
        break;
    }
    describe(q, entry, at, &next);
    if (!continues(&found, &next, found.length))
      break;
  }
  found.length = MIN(found.length, length);
  *extent = found;
  return 0;
}

/* Where no L2 table exists, nor in the L1 entries that follow. The disk of a snapshot may be larger than its L1 table knows. */
static void map_hole(const Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, uint64_t length, BgExtent *extent)
{
  uint64_t span = UINT64_C(1) << (q->cluster_bits + q->l2_bits), index = qcow2_l1_index(q, offset) + 1;
  uint64_t found = span - (offset & (span - 1));
  for (; found < length && index < tables->entries && !qcow2_entry_offset(tables->l1[index]); index++)
    found += span;
  bool named = index < tables->entries;
  *extent = (BgExtent){.kind = BG_EXTENT_BACKING, .length = named ? MIN(found, length) : length};
}

/* `lock` held. -EAGAIN: the table at *missing must be loaded first. */
static int map_locked(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, uint64_t length, BgExtent *extent,
                      uint64_t *missing)
{
  Qcow2Table *table;
  int r = qcow2_l2_find(q, tables, offset, &table, missing);
  if (r < 0)
    return r;
  if (*missing)
    return -EAGAIN;
  if (table)
    return map_table(q, table, offset, length, extent);
  map_hole(q, tables, offset, length, extent);
  return 0;
}

/* The cache is so small that others throw out what we load: look while nobody can. */
static int map_exclusive(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, uint64_t length, BgExtent *extent)
{
  Qcow2Table *table;
  uint64_t missing;
  pthread_rwlock_wrlock(&q->lock);
  int r = qcow2_l2_get(q, tables, offset, &table);
  if (r == 0)
    r = map_locked(q, tables, offset, length, extent, &missing);
  pthread_rwlock_unlock(&q->lock);
  return r;
}

int qcow2_map_by(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, uint64_t length, BgExtent *extent)
{
  for (int i = 0; i < TRIES_WITHOUT_LOCK; i++) {
    uint64_t missing;
    pthread_rwlock_rdlock(&q->lock);
    int r = map_locked(q, tables, offset, length, extent, &missing);
    pthread_rwlock_unlock(&q->lock);
    if (r == -EAGAIN)
      r = qcow2_l2_load(q, missing);
    else
      return qcow2_damage_report(q, r);
    if (r < 0)
      return qcow2_damage_report(q, r);
  }
  return qcow2_damage_report(q, map_exclusive(q, tables, offset, length, extent));
}

int qcow2_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  Qcow2 *q = instance;
  return qcow2_map_by(q, &q->active, offset, length, extent);
}
