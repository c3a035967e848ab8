/* Counts against the refcounts on disk. */
#include "drivers/iov.h"
#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/check-pass.h"

#include <inttypes.h>

static void compare_cluster(Qcow2Check *check, uint64_t cluster, uint64_t refcount, uint64_t count)
{
  uint64_t offset = cluster << check->q->cluster_bits;
  if (refcount > count)
    qcow2_check_found(check, QCOW2_LEAK, 1,
                      "The cluster at 0x%" PRIx64 " leaks: refcount %" PRIu64 ", references %" PRIu64, offset, refcount,
                      count);
  else
    qcow2_check_found(check, QCOW2_REFCOUNT_LOW, 1,
                      "The cluster at 0x%" PRIx64 " has the refcount %" PRIu64 " and %" PRIu64 " references", offset,
                      refcount, count);
}

static uint64_t value(const Qcow2Check *check, const uint8_t *block, uint64_t index)
{
  return block ? qcow2_refcount_get(block, check->counts.order, index) : 0;
}

/* Behind the last of the first `limit` clusters that one of the two says is in use. */
static uint64_t used_end(const Qcow2Check *check, const uint8_t *disk, const uint8_t *counted, uint64_t limit)
{
  while (limit && !value(check, disk, limit - 1) && !value(check, counted, limit - 1))
    limit--;
  return limit;
}

/* `known`: what lies on disk is. */
static void compare_block(Qcow2Check *check, uint64_t number, const uint8_t *disk, bool known)
{
  const Qcow2Counts *counts = &check->counts;
  const uint8_t *counted = number < counts->block_count ? counts->blocks[number] : NULL;
  uint64_t base = number << counts->block_bits, limit = UINT64_C(1) << counts->block_bits;
  /* a table may name very many blocks that count nothing: those must not be gone through one cluster after the other */
  if (disk && bg_buffer_is_zero(disk, counts->block_size))
    disk = NULL;
  if (!qcow2_counts_any(counts, number))
    counted = NULL;
  if (!disk && !counted)
    return;
  limit = MIN(limit, qcow2_check_clusters(check) - base);
  bool equal = disk && counted && memcmp(disk, counted, counts->block_size) == 0;
  for (uint64_t i = 0; i < limit && known && !equal; i++)
    if (value(check, disk, i) != value(check, counted, i))
      compare_cluster(check, base + i, value(check, disk, i), value(check, counted, i));
  uint64_t end = used_end(check, disk, counted, limit);
  if (end)
    check->result.image_end_offset = (base + end) << check->q->cluster_bits;
}

static int compare_blocks(Qcow2Check *check)
{
  uint64_t clusters = qcow2_check_clusters(check);
  uint64_t blocks = (clusters >> check->counts.block_bits) + 1;
  uint64_t most = MAX(check->counts.block_count, check->reftable_entries);
  for (uint64_t number = 0; number < MIN(blocks, most) && number << check->counts.block_bits < clusters; number++) {
    const uint8_t *disk;
    int r = qcow2_disk_block(check, number, &disk);
    uint64_t at = number < check->reftable_entries ? check->reftable[number] & QCOW2_REFTABLE_MASK : 0;
    compare_block(check, number, disk, r == 0);
    if (r < 0 && !(at & (check->q->cluster_size - 1))) {
      qcow2_check_found(check, QCOW2_UNREADABLE, 1, "The refcount block at 0x%" PRIx64 " cannot be read: %s", at,
                        g_strerror(-r));
      check->incomplete = true;
    }
    r = qcow2_check_progress(check, 1);
    if (r < 0)
      return r;
  }
  return 0;
}

/* ── overlaps that refcounts agree to ── */

static int compare_ranges(gconstpointer a, gconstpointer b)
{
  const Qcow2Range *left = a, *right = b;
  return left->first < right->first ? -1 : left->first > right->first;
}

static void check_overlaps(Qcow2Check *check)
{
  uint64_t end = 0;
  g_array_sort(check->metadata, compare_ranges);
  for (guint i = 0; i < check->metadata->len; i++) {
    const Qcow2Range *range = &g_array_index(check->metadata, Qcow2Range, i);
    for (uint64_t cluster = range->first; cluster < MIN(end, range->end); cluster++) {
      uint64_t refcount;
      /* Else it was told already. */
      if (qcow2_disk_refcount(check, cluster, &refcount) && refcount > 1 &&
          refcount == qcow2_counts_get(&check->counts, cluster))
        qcow2_check_found(check, QCOW2_STRUCTURE, 1, "Several pieces of metadata share the cluster at 0x%" PRIx64,
                          cluster << check->q->cluster_bits);
    }
    end = MAX(end, range->end);
  }
}

int qcow2_check_compare(Qcow2Check *check)
{
  int r = compare_blocks(check);
  if (r == 0)
    check_overlaps(check);
  return r;
}
