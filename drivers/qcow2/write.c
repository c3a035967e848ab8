/* Allocating writes: space is picked in reserve, named in commit, all in memory. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

/* BgReservation's private[1] */
enum {
  RESERVED_KEPT = 1 << 0, /* space that the clusters have already, or that is theirs in the data file */
  RESERVED_HELD = 1 << 1  /* see hold.c */
};

void qcow2_l1_set(Qcow2 *q, uint64_t index, uint64_t entry)
{
  q->active.l1[index] = entry;
  g_hash_table_add(q->l1_dirty, GSIZE_TO_POINTER(index / 64));
}

void qcow2_l2_put(const Qcow2 *q, Qcow2Table *table, uint64_t index, Qcow2Entry entry)
{
  uint8_t *at = table->data + index * (q->extended ? 16 : 8);
  if (q->extended)
    qcow2_put64(at + 8, entry.bitmap);
  else if (entry.bitmap >> 32)
    entry.word |= QCOW2_ZERO;
  qcow2_put64(at, entry.word);
}

void qcow2_l2_set(Qcow2 *q, Qcow2Table *table, uint64_t index, Qcow2Entry entry)
{
  size_t size = q->extended ? 16 : 8;
  qcow2_l2_put(q, table, index, entry);
  qcow2_table_mark(&q->l2, table, index * size, size);
}

void qcow2_entry_free(Qcow2 *q, Qcow2Entry entry, bool unmap)
{
  uint64_t offset, length;
  if (q->external)
    return;
  if (entry.word & QCOW2_COMPRESSED) { /* holds one reference to each host cluster that it touches */
    qcow2_entry_compressed(q, entry.word, &offset, &length);
    for (uint64_t i = offset >> q->cluster_bits; i <= (offset + length - 1) >> q->cluster_bits; i++)
      qcow2_free_later(q, i, unmap);
  } else if (qcow2_entry_has_space(q, entry)) {
    qcow2_free_later(q, qcow2_entry_offset(entry.word) >> q->cluster_bits, unmap);
  }
}

int qcow2_l2_own(Qcow2 *q, uint64_t offset, Qcow2Table **table)
{
  uint64_t index = qcow2_l1_index(q, offset);
  if (index >= q->active.entries)
    return -EIO;
  Qcow2Table *old;
  int r = qcow2_l2_get(q, &q->active, offset, &old);
  if (r < 0 || (old && q->active.l1[index] & QCOW2_COPIED)) {
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
  qcow2_overlap_add(q, cluster, QCOW2_OVERLAP_ACTIVE_L2);
  qcow2_l1_set(q, index, cluster << q->cluster_bits | QCOW2_COPIED);
  return 0;
}

/* Whether the cluster has a place that nobody else names. */
static bool has_own_space(const Qcow2 *q, Qcow2Entry entry)
{
  return q->external || (qcow2_entry_has_space(q, entry) && entry.word & QCOW2_COPIED);
}

static uint64_t own_space(const Qcow2 *q, Qcow2Entry entry, uint64_t guest)
{
  return q->external ? guest : qcow2_entry_offset(entry.word);
}

/* Whether data may be written to own space. */
static int check_own_space(Qcow2 *q, Qcow2Entry entry)
{
  uint64_t offset = qcow2_entry_offset(entry.word);
  if (!q->external && qcow2_is_metadata(q, offset >> q->cluster_bits))
    return qcow2_damage(q, "A data cluster at 0x%" PRIx64 " overlaps metadata", offset);
  return 0;
}

/* How many of the `most` clusters from the table's `index` on, the disk's `guest`, are alike: can take the space that they have, or need new. */
static int count_alike(Qcow2 *q, const Qcow2Table *table, uint64_t index, uint64_t guest, uint64_t most, bool kept,
                       uint64_t *count)
{
  uint64_t first = own_space(q, qcow2_l2_entry(q, table, index), guest), run = 0;
  for (; run < most; run++) {
    uint64_t further = run << q->cluster_bits;
    Qcow2Entry entry = qcow2_l2_entry(q, table, index + run);
    int r = qcow2_entry_check(q, entry, guest + further);
    if (r < 0)
      return r;
    if (has_own_space(q, entry) != kept)
      break;
    if (kept && ((uint32_t)entry.bitmap || own_space(q, entry, guest + further) != first + further))
      break;
    if (kept && (r = check_own_space(q, entry)) < 0)
      return r;
  }
  *count = run;
  /* none: a cluster of its own that map will not have written in place */
  return run ? 0 : qcow2_damage(q, "A data cluster at 0x%" PRIx64 " overlaps metadata", first);
}

/* Whole clusters. */
static int reserve_clusters(Qcow2 *q, const Qcow2Table *table, uint64_t guest, uint64_t most,
                            BgReservation *reservation)
{
  uint64_t index = qcow2_l2_index(q, guest), count, first;
  Qcow2Entry entry = qcow2_l2_entry(q, table, index);
  bool reads_zero = false, kept = has_own_space(q, entry);
  int r = count_alike(q, table, index, guest, most, kept, &count);
  if (r < 0)
    return r;
  if (kept)
    first = own_space(q, entry, guest) >> q->cluster_bits;
  else
    r = qcow2_alloc_run(q, count, &first, &count, &reads_zero);
  if (r < 0)
    return r;
  *reservation = (BgReservation){
      .offset = guest,
      .length = count << q->cluster_bits,
      .child = q->data,
      .child_offset = first << q->cluster_bits,
      .reads_zero = reads_zero && !q->crypto,
      .flags = q->crypto ? BG_EXTENT_ENCODED : 0,
      .private = {0, kept ? RESERVED_KEPT : 0},
  };
  return 0;
}

/* Subclusters of one cluster, which is held. What others name too, or what is compressed, is replaced as a whole; who waited for that to hold
 * the cluster may find space here that map did not see. */
static int reserve_part(Qcow2 *q, const Qcow2Table *table, uint64_t start, uint64_t end, BgReservation *reservation)
{
  uint64_t guest = start & ~(q->cluster_size - 1), first, count;
  Qcow2Entry entry = qcow2_l2_entry(q, table, qcow2_l2_index(q, guest));
  bool reads_zero = false, kept = has_own_space(q, entry);
  int r = qcow2_entry_check(q, entry, guest);
  if (r == 0 && kept)
    r = check_own_space(q, entry);
  if (r == 0 && !kept)
    r = qcow2_alloc_run(q, 1, &first, &count, &reads_zero);
  if (r < 0)
    return r;
  if (!kept && entry.word) {
    start = guest;
    end = guest + q->cluster_size;
  }
  uint64_t space = kept ? own_space(q, entry, guest) : first << q->cluster_bits;
  *reservation = (BgReservation){
      .offset = start,
      .length = end - start,
      .child = q->data,
      .child_offset = space + (start - guest),
      .reads_zero = reads_zero && !q->crypto,
      .flags = q->crypto ? BG_EXTENT_ENCODED : 0,
      .private = {0, (kept ? RESERVED_KEPT : 0) | RESERVED_HELD},
  };
  return 0;
}

/* A data file ends where the disk does, and has nothing behind its end. */
static int place_in_data_file(Qcow2 *q, BgReservation *reservation)
{
  uint64_t size = atomic_load(&q->size), end = reservation->offset + reservation->length;
  int64_t there = q->data->ops->size(q->data);
  if (there < 0)
    return (int)there;
  if (end > QCOW2_MAX_OFFSET)
    return -EFBIG;
  if (q->crypto) /* whole sectors */
    size = (size + QCOW2_CRYPT_SECTOR - 1) & ~(uint64_t)(QCOW2_CRYPT_SECTOR - 1);
  reservation->length = MIN(end, size) - reservation->offset;
  reservation->reads_zero = reservation->child_offset >= (uint64_t)there && !q->crypto;
  return 0;
}

/* [start, end) are whole subclusters; the cluster is held if they are a part of it only. */
static int reserve_locked(Qcow2 *q, uint64_t start, uint64_t end, bool part, BgReservation *reservation)
{
  Qcow2Table *table;
  uint64_t most = MIN((end - start) >> q->cluster_bits, q->l2_entries - qcow2_l2_index(q, start));
  int r = atomic_load(&q->damaged) ? -EIO : qcow2_l2_own(q, start, &table);
  if (r == 0)
    r = part ? reserve_part(q, table, start, end, reservation) : reserve_clusters(q, table, start, most, reservation);
  if (r == 0 && q->external)
    r = place_in_data_file(q, reservation);
  if (r < 0)
    return r;
  table->pins++;
  reservation->private[0] = (uintptr_t)table;
  return 0;
}

static int try_reserve(Qcow2 *q, uint64_t offset, uint64_t length, BgReservation *reservation)
{
  uint64_t start = offset & ~(q->sub_size - 1), end = (offset + length + q->sub_size - 1) & ~(q->sub_size - 1);
  uint64_t cluster_end = (start & ~(q->cluster_size - 1)) + q->cluster_size;
  bool part = start & (q->cluster_size - 1) || end < cluster_end;
  if (part)
    end = MIN(end, cluster_end);
  int r = qcow2_l2_prefetch(q, offset);
  if (r < 0)
    return r;
  if (part)
    qcow2_hold(q, start, start);
  pthread_rwlock_wrlock(&q->lock);
  r = reserve_locked(q, start, end, part, reservation);
  pthread_rwlock_unlock(&q->lock);
  if (r < 0 && part)
    qcow2_let_go(q, start, start);
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

/* The part of the reservation in one cluster is allocated now. */
static void publish(Qcow2 *q, Qcow2Table *table, const BgReservation *reservation, uint64_t from, uint64_t to)
{
  uint64_t guest = from & ~(q->cluster_size - 1), index = qcow2_l2_index(q, guest);
  uint64_t subs = qcow2_subclusters(q, from, to);
  Qcow2Entry old = qcow2_l2_entry(q, table, index), new = {.bitmap = old.bitmap};
  if (!(reservation->private[1] & RESERVED_KEPT))
    qcow2_entry_free(q, old, false);
  if (old.word & QCOW2_COMPRESSED)
    new.bitmap = 0;
  new.word = (reservation->child_offset - reservation->offset + guest) | QCOW2_COPIED;
  new.bitmap = (new.bitmap | subs) & ~(subs << 32);
  qcow2_l2_set(q, table, index, new);
}

/* `lock` held exclusive. */
static void end_reservation(Qcow2 *q, const BgReservation *reservation)
{
  Qcow2Table *table = (Qcow2Table *)(uintptr_t)reservation->private[0];
  table->pins--;
  if (reservation->private[1] & RESERVED_HELD)
    qcow2_let_go(q, reservation->offset, reservation->offset);
}

int qcow2_commit(void *instance, const BgReservation *reservation)
{
  Qcow2 *q = instance;
  Qcow2Table *table = (Qcow2Table *)(uintptr_t)reservation->private[0];
  uint64_t end = reservation->offset + reservation->length;
  pthread_rwlock_wrlock(&q->lock);
  for (uint64_t at = reservation->offset, next; at < end; at = next) {
    next = MIN((at & ~(q->cluster_size - 1)) + q->cluster_size, end);
    publish(q, table, reservation, at, next);
  }
  q->data_committed = true;
  end_reservation(q, reservation);
  pthread_rwlock_unlock(&q->lock);
  return 0;
}

void qcow2_abort(void *instance, const BgReservation *reservation)
{
  Qcow2 *q = instance;
  uint64_t first = reservation->child_offset >> q->cluster_bits;
  uint64_t end = (reservation->child_offset + reservation->length + q->cluster_size - 1) >> q->cluster_bits;
  pthread_rwlock_wrlock(&q->lock);
  if (!(reservation->private[1] & RESERVED_KEPT))
    qcow2_free_now(q, first, end - first);
  end_reservation(q, reservation);
  pthread_rwlock_unlock(&q->lock);
  qcow2_damage_report(q, 0);
}
