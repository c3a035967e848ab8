#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

static bool is_free(const Qcow2 *q, const Qcow2Table *block, uint64_t base, uint64_t index)
{
  return qcow2_refcount_get(block->data, q->refcount_order, index) == 0 &&
         !g_hash_table_contains(q->quarantined, GSIZE_TO_POINTER(base + index));
}

/* The block that counts the first free cluster from the hint on, and its index in there. */
static int find_free(Qcow2 *q, Qcow2Table **block, uint64_t *base, uint64_t *index)
{
  for (uint64_t cluster = q->free_hint;; cluster = *base + q->block_clusters) {
    uint64_t number = cluster / q->block_clusters;
    *base = number * q->block_clusters;
    int r = qcow2_check_room(q, cluster, 1);
    if (r == 0)
      r = qcow2_block_ensure(q, number, block);
    if (r < 0)
      return r;
    for (*index = cluster - *base; *index < q->block_clusters; ++*index)
      if (is_free(q, *block, *base, *index))
        return qcow2_check_room(q, *base + *index, 1);
  }
}

int qcow2_alloc_run(Qcow2 *q, uint64_t want, uint64_t *first, uint64_t *count, bool *reads_zero)
{
  Qcow2Table *block;
  uint64_t base, index, run = 0;
  int r = find_free(q, &block, &base, &index);
  if (r < 0)
    return r;
  while (run < want && index + run < q->block_clusters && is_free(q, block, base, index + run) &&
         qcow2_check_room(q, base + index, run + 1) == 0) {
    /* no entry can name the header's cluster */
    if (base + index + run == 0 || qcow2_is_metadata(q, base + index + run))
      return qcow2_damage(q, "The metadata at 0x%" PRIx64 " has a refcount of zero",
                          (base + index + run) << q->cluster_bits);
    run++;
  }
  qcow2_block_fill(q, block, index, run, 1);
  *first = base + index;
  *count = run;
  *reads_zero = *first << q->cluster_bits >= q->high_water;
  q->high_water = MAX(q->high_water, (*first + run) << q->cluster_bits);
  q->free_hint = *first + run;
  return 0;
}

int qcow2_alloc_metadata(Qcow2 *q, uint64_t *cluster)
{
  uint64_t first, count;
  bool reads_zero;
  int r = qcow2_alloc_run(q, 1, &first, &count, &reads_zero);
  if (r < 0)
    return r;
  if (qcow2_classes_of(q, first))
    return qcow2_damage(q, "The metadata at 0x%" PRIx64 " has a refcount of zero", first << q->cluster_bits);
  r = qcow2_clear_clusters(q, first, 1);
  if (r < 0)
    qcow2_free_now(q, first, 1);
  else
    *cluster = first;
  return r;
}

void qcow2_free_now(Qcow2 *q, uint64_t first, uint64_t count)
{
  for (uint64_t i = 0; i < count; i++) {
    uint64_t left;
    /* Where the refcounts cannot be read the space is lost, no more. */
    if (qcow2_refcount_lower(q, first + i, &left) == 0 && left == 0)
      q->free_hint = MIN(q->free_hint, first + i);
  }
}
