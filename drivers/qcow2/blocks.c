#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

int qcow2_block_get(Qcow2 *q, uint64_t number, Qcow2Table **block)
{
  uint64_t offset = number < q->reftable_entries ? q->reftable[number] & QCOW2_REFTABLE_MASK : 0;
  *block = NULL;
  if (offset == 0)
    return 0;
  *block = qcow2_cache_find(&q->blocks, offset);
  if (*block)
    return 0;
  uint8_t *data;
  int r = qcow2_read_cluster(q, "refcount block", offset, &data);
  if (r == 0)
    *block = qcow2_cache_insert(&q->blocks, offset, data);
  return r;
}

/* A block for a range that has none counts itself: its place is the range's first cluster. */
static int block_create(Qcow2 *q, uint64_t number, Qcow2Table **block)
{
  uint64_t cluster = number * q->block_clusters;
  if (qcow2_classes_of(q, cluster))
    return qcow2_damage(q, "Metadata lies at 0x%" PRIx64 ", where no refcounts are", cluster << q->cluster_bits);
  int r = qcow2_check_room(q, cluster, 1);
  if (r == 0)
    r = qcow2_clear_clusters(q, cluster, 1);
  uint8_t *data = r == 0 ? g_try_malloc0(q->cluster_size) : NULL;
  if (!data)
    return r < 0 ? r : -ENOMEM;
  *block = qcow2_cache_insert(&q->blocks, cluster << q->cluster_bits, data);
  (*block)->fresh = true;
  qcow2_table_mark(&q->blocks, *block, 0, q->cluster_size);
  qcow2_block_fill(q, *block, 0, 1, 1);
  qcow2_reftable_set(q, number, cluster);
  return 0;
}

int qcow2_block_ensure(Qcow2 *q, uint64_t number, Qcow2Table **block)
{
  int r = qcow2_block_get(q, number, block);
  if (r < 0 || *block)
    return r;
  if (number >= q->reftable_entries) {
    uint64_t unused;
    r = qcow2_area_alloc(q, 0, &unused);
    if (r < 0)
      return r;
    if (number >= q->reftable_entries)
      return -EFBIG;
    r = qcow2_block_get(q, number, block);
    if (r < 0 || *block)
      return r;
  }
  return block_create(q, number, block);
}

void qcow2_block_fill(Qcow2 *q, Qcow2Table *block, uint64_t index, uint64_t count, uint64_t refcount)
{
  for (uint64_t i = index; i < index + count; i++)
    qcow2_refcount_set(block->data, q->refcount_order, i, refcount);
  uint64_t from = (index << q->refcount_order) / 8, to = (((index + count) << q->refcount_order) + 7) / 8;
  qcow2_table_mark(&q->blocks, block, from, to - from);
}

/* The refcount of a cluster that is in use, and the block that has it. */
static int get_used(Qcow2 *q, uint64_t cluster, Qcow2Table **block, uint64_t *refcount)
{
  int r = qcow2_block_get(q, cluster / q->block_clusters, block);
  if (r < 0)
    return r;
  *refcount = *block ? qcow2_refcount_get((*block)->data, q->refcount_order, cluster % q->block_clusters) : 0;
  if (*refcount == 0)
    return qcow2_damage(q, "The cluster at 0x%" PRIx64 " was in use with a refcount of zero",
                        cluster << q->cluster_bits);
  return 0;
}

int qcow2_refcount_raise(Qcow2 *q, uint64_t cluster)
{
  Qcow2Table *block;
  uint64_t refcount;
  int r = get_used(q, cluster, &block, &refcount);
  if (r < 0)
    return r;
  if (refcount == qcow2_refcount_max(q->refcount_order))
    return -EMLINK;
  qcow2_block_fill(q, block, cluster % q->block_clusters, 1, refcount + 1);
  return 0;
}

int qcow2_refcount_lower(Qcow2 *q, uint64_t cluster, uint64_t *left)
{
  Qcow2Table *block;
  uint64_t refcount;
  int r = get_used(q, cluster, &block, &refcount);
  if (r < 0)
    return r;
  qcow2_block_fill(q, block, cluster % q->block_clusters, 1, refcount - 1);
  if (refcount == 1 && cluster == q->packed_end >> q->cluster_bits)
    q->packed_end = 0; /* what is behind the compressed data goes with it */
  *left = refcount - 1;
  return 0;
}
