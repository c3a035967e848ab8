/* Growth of what refcounts cover: new blocks, and a larger refcount table where the old one is full. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>

typedef struct Area {
  uint64_t number;         /* of the first new block */
  uint64_t blocks;         /* new blocks; they come first */
  uint64_t table_clusters; /* then the new refcount table; 0: the old one has room */
  uint64_t count;          /* then what was asked for */
} Area;

void qcow2_reftable_set(Qcow2 *q, uint64_t number, uint64_t cluster)
{
  q->reftable[number] = cluster << q->cluster_bits;
  g_hash_table_add(q->reftable_dirty, GSIZE_TO_POINTER(number / 64));
  qcow2_overlap_add(q, cluster, QCOW2_OVERLAP_REFCOUNT_BLOCK);
}

/* Blocks count themselves, the table and the payload: more of one can need more of the other. */
static int area_plan(const Qcow2 *q, uint64_t count, Area *area)
{
  uint64_t used = q->reftable_entries, per_cluster = q->cluster_size / 8;
  while (used && q->reftable[used - 1] == 0)
    used--;
  *area = (Area){.number = used, .count = count};
  for (;;) {
    uint64_t payload = count + area->table_clusters;
    uint64_t blocks = MAX((payload + q->block_clusters - 2) / (q->block_clusters - 1), 1);
    uint64_t entries = used + blocks, clusters = 0;
    if (entries > q->reftable_entries) {
      entries = MAX(entries, q->reftable_entries + q->reftable_entries / 2);
      entries = MIN(entries, MAX(used + blocks, QCOW2_MAX_REFTABLE_BYTES / 8));
      clusters = (entries + per_cluster - 1) / per_cluster;
    }
    if (clusters * q->cluster_size > QCOW2_MAX_REFTABLE_BYTES)
      return -EFBIG;
    bool settled = blocks == area->blocks && clusters <= area->table_clusters;
    area->blocks = blocks;
    area->table_clusters = MAX(clusters, area->table_clusters);
    if (settled)
      return 0;
  }
}

/* The new blocks, all of whose clusters up to the area's end are in use; NULL where memory is short. */
static GPtrArray *area_blocks(const Qcow2 *q, const Area *area)
{
  g_autoptr(GPtrArray) blocks = g_ptr_array_new_with_free_func(g_free);
  uint64_t left = area->blocks + area->table_clusters + area->count;
  for (uint64_t i = 0; i < area->blocks; i++) {
    uint8_t *data = g_try_malloc0(q->cluster_size);
    if (!data)
      return NULL;
    g_ptr_array_add(blocks, data);
    uint64_t here = MIN(left, q->block_clusters);
    for (uint64_t j = 0; j < here; j++)
      qcow2_refcount_set(data, q->refcount_order, j, 1);
    left -= here;
  }
  return g_steal_pointer(&blocks);
}

static void replace_table(Qcow2 *q, uint64_t *table, uint64_t cluster, uint64_t clusters)
{
  memcpy(table, q->reftable, q->reftable_entries * 8);
  uint64_t old = q->reftable_offset >> q->cluster_bits;
  uint64_t old_clusters = q->reftable_entries * 8 >> q->cluster_bits;
  for (uint64_t i = 0; i < old_clusters; i++)
    qcow2_free_later(q, old + i, false);
  g_free(q->reftable);
  q->reftable = table;
  q->reftable_entries = clusters << q->cluster_bits >> 3;
  q->reftable_offset = cluster << q->cluster_bits;
  q->reftable_fresh = q->header_pending = true;
  g_hash_table_remove_all(q->reftable_dirty);
  qcow2_overlap_ranges(q);
}

static int area_check(Qcow2 *q, uint64_t first, uint64_t count)
{
  for (uint64_t i = 0; i < count; i++)
    if (qcow2_classes_of(q, first + i))
      return qcow2_damage(q, "Metadata lies where no refcounts are");
  return qcow2_check_room(q, first, count);
}

int qcow2_area_alloc(Qcow2 *q, uint64_t count, uint64_t *first)
{
  Area area;
  int r = area_plan(q, count, &area);
  if (r < 0)
    return r;
  uint64_t start = area.number * q->block_clusters, total = area.blocks + area.table_clusters + count;
  r = area_check(q, start, total);
  if (r < 0)
    return r;
  g_autoptr(GPtrArray) blocks = area_blocks(q, &area);
  g_autofree uint64_t *table = g_try_malloc0(MAX(area.table_clusters, 1) << q->cluster_bits);
  if (!blocks || !table)
    return -ENOMEM;
  r = qcow2_clear_clusters(q, start, total);
  if (r < 0)
    return r;
  if (area.table_clusters)
    replace_table(q, g_steal_pointer(&table), start + area.blocks, area.table_clusters);
  g_ptr_array_set_free_func(blocks, NULL);
  for (uint64_t i = 0; i < area.blocks; i++) {
    Qcow2Table *block = qcow2_cache_insert(&q->blocks, (start + i) << q->cluster_bits, blocks->pdata[i]);
    block->fresh = true;
    qcow2_table_mark(&q->blocks, block, 0, q->cluster_size);
    qcow2_reftable_set(q, area.number + i, start + i);
  }
  *first = start + area.blocks + area.table_clusters;
  return 0;
}
