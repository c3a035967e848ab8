/* Allocating writes: space is picked in reserve, named in commit, all in memory. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

/* BgReservation's private[1] */
enum { RESERVED_NEW, RESERVED_KEPT /* a zero cluster's own space */ };

void qcow2_l1_set(Qcow2 *q, uint64_t index, uint64_t entry)
{
  q->l1[index] = entry;
  g_hash_table_add(q->l1_dirty, GSIZE_TO_POINTER(index / 64));
}

void qcow2_l2_set(Qcow2 *q, Qcow2Table *table, uint64_t index, uint64_t entry)
{
  qcow2_put64(table->data + index * 8, entry);
  qcow2_table_mark(&q->l2, table, index * 8, 8);
}

void qcow2_entry_free(Qcow2 *q, uint64_t entry, bool unmap)
{
  uint64_t offset, length;
  switch (qcow2_entry_kind(entry)) {
  case QCOW2_NORMAL:
  case QCOW2_ZERO_ALLOCATED:
    qcow2_free_later(q, qcow2_entry_offset(entry) >> q->cluster_bits, unmap);
    break;
  case QCOW2_DEFLATED: /* holds one reference to each host cluster that it touches */
    qcow2_entry_compressed(q, entry, &offset, &length);
    for (uint64_t i = offset >> q->cluster_bits; i <= (offset + length - 1) >> q->cluster_bits; i++)
      qcow2_free_later(q, i, unmap);
    break;
  default:
    break;
  }
}

int qcow2_l2_own(Qcow2 *q, uint64_t offset, Qcow2Table **table)
{
  uint64_t index = qcow2_l1_index(q, offset);
  if (index >= q->l1_entries)
    return -EIO;
  Qcow2Table *old;
  int r = qcow2_l2_get(q, offset, &old);
  if (r < 0 || (old && q->l1[index] & QCOW2_COPIED)) {
    if (r == 0)
      *table = old;
    return r;
  }
  g_autofree uint8_t *data = g_try_malloc0(q->cluster_size);
  if (!data)
    return -ENOMEM;
  if (old)
    memcpy(data, old->data, q->cluster_size);
  uint64_t cluster;
  r = qcow2_alloc_metadata(q, &cluster);
  if (r < 0)
    return r;
  if (old) {
    uint64_t old_cluster = old->offset >> q->cluster_bits;
    g_hash_table_remove(q->tables, GSIZE_TO_POINTER(old_cluster));
    qcow2_cache_remove(&q->l2, old->offset);
    qcow2_free_later(q, old_cluster, false);
  }
  *table = qcow2_cache_insert(&q->l2, cluster << q->cluster_bits, g_steal_pointer(&data));
  (*table)->fresh = true;
  qcow2_table_mark(&q->l2, *table, 0, q->cluster_size);
  g_hash_table_add(q->tables, GSIZE_TO_POINTER(cluster));
  qcow2_l1_set(q, index, cluster << q->cluster_bits | QCOW2_COPIED);
  return 0;
}

static bool keeps_space(uint64_t entry)
{
  return qcow2_entry_kind(entry) == QCOW2_ZERO_ALLOCATED && entry & QCOW2_COPIED;
}

static bool needs_space(uint64_t entry)
{
  Qcow2Kind kind = qcow2_entry_kind(entry);
  return (kind != QCOW2_NORMAL && kind != QCOW2_ZERO_ALLOCATED) || !(entry & QCOW2_COPIED);
}

/* How many of the `most` clusters from the table's `index` can take the space that they have. */
static int count_kept(Qcow2 *q, const Qcow2Table *table, uint64_t index, uint64_t most, uint64_t *count)
{
  uint64_t first = qcow2_entry_offset(qcow2_l2_entry(table, index)), run = 0;
  for (; run < most; run++) {
    uint64_t entry = qcow2_l2_entry(table, index + run);
    if (!keeps_space(entry) || qcow2_entry_offset(entry) != first + (run << q->cluster_bits))
      break;
    if (qcow2_is_metadata(q, qcow2_entry_offset(entry) >> q->cluster_bits))
      return qcow2_damage(q, "A data cluster at 0x%" PRIx64 " overlaps metadata", qcow2_entry_offset(entry));
  }
  *count = run;
  return 0;
}

static int count_new(Qcow2 *q, const Qcow2Table *table, uint64_t index, uint64_t most, uint64_t *count)
{
  uint64_t run = 0;
  for (; run < most && needs_space(qcow2_l2_entry(table, index + run)); run++) {
    int r = qcow2_entry_check(q, qcow2_l2_entry(table, index + run));
    if (r < 0)
      return r;
  }
  *count = run;
  return 0;
}

static int reserve_in_table(Qcow2 *q, Qcow2Table *table, uint64_t offset, uint64_t most, BgReservation *reservation)
{
  uint64_t index = qcow2_l2_index(q, offset), entry = qcow2_l2_entry(table, index), count, first;
  bool reads_zero = false, kept = keeps_space(entry);
  int r = qcow2_entry_check(q, entry);
  if (r == 0)
    r = (kept ? count_kept : count_new)(q, table, index, most, &count);
  if (r < 0)
    return r;
  if (count == 0) /* a cluster of its own that map will not have written in place */
    return qcow2_damage(q, "A data cluster at 0x%" PRIx64 " overlaps metadata", qcow2_entry_offset(entry));
  if (kept)
    first = qcow2_entry_offset(entry) >> q->cluster_bits;
  else
    r = qcow2_alloc_run(q, count, &first, &count, &reads_zero);
  if (r < 0)
    return r;
  table->pins++;
  *reservation = (BgReservation){
      .offset = offset,
      .length = count << q->cluster_bits,
      .child = q->file,
      .child_offset = first << q->cluster_bits,
      .reads_zero = reads_zero,
      .private = {(uintptr_t)table, kept ? RESERVED_KEPT : RESERVED_NEW},
  };
  return 0;
}

static int try_reserve(Qcow2 *q, uint64_t offset, uint64_t length, BgReservation *reservation)
{
  uint64_t first = offset & ~(q->cluster_size - 1);
  uint64_t clusters = (offset + length - first + q->cluster_size - 1) >> q->cluster_bits;
  uint64_t most = MIN(clusters, q->l2_entries - qcow2_l2_index(q, offset));
  int r = qcow2_l2_prefetch(q, offset);
  if (r < 0)
    return r;
  Qcow2Table *table;
  pthread_rwlock_wrlock(&q->lock);
  r = atomic_load(&q->damaged) ? -EIO : qcow2_l2_own(q, first, &table);
  if (r == 0)
    r = reserve_in_table(q, table, first, most, reservation);
  pthread_rwlock_unlock(&q->lock);
  return r;
}

int qcow2_reserve(void *instance, uint64_t offset, uint64_t length, BgReservation *reservation)
{
  Qcow2 *q = instance;
  int r = qcow2_relieve(q);
  if (r == 0)
    r = try_reserve(q, offset, length, reservation);
  if (r == -ENOSPC && !qcow2_is_clean(q) && qcow2_write_back(q) == 0) /* what was freed may do */
    r = try_reserve(q, offset, length, reservation);
  return qcow2_damage_report(q, r);
}

int qcow2_commit(void *instance, const BgReservation *reservation)
{
  Qcow2 *q = instance;
  Qcow2Table *table = (Qcow2Table *)(uintptr_t)reservation->private[0];
  uint64_t index = qcow2_l2_index(q, reservation->offset), count = reservation->length >> q->cluster_bits;
  pthread_rwlock_wrlock(&q->lock);
  for (uint64_t i = 0; i < count; i++) {
    if (reservation->private[1] == RESERVED_NEW)
      qcow2_entry_free(q, qcow2_l2_entry(table, index + i), false);
    qcow2_l2_set(q, table, index + i, (reservation->child_offset + (i << q->cluster_bits)) | QCOW2_COPIED);
  }
  table->pins--;
  q->data_committed = true;
  pthread_rwlock_unlock(&q->lock);
  return 0;
}

void qcow2_abort(void *instance, const BgReservation *reservation)
{
  Qcow2 *q = instance;
  Qcow2Table *table = (Qcow2Table *)(uintptr_t)reservation->private[0];
  pthread_rwlock_wrlock(&q->lock);
  if (reservation->private[1] == RESERVED_NEW)
    qcow2_free_now(q, reservation->child_offset >> q->cluster_bits, reservation->length >> q->cluster_bits);
  table->pins--;
  pthread_rwlock_unlock(&q->lock);
  qcow2_damage_report(q, 0);
}
