/* Other sizes of the disk. The core holds the whole node; reads go on beside. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>

/* What the header says of size and L1 table. */
typedef struct Geometry {
  uint64_t size, l1_offset, l1_entries;
} Geometry;

static void set_geometry(Qcow2Header *header, const void *data)
{
  const Geometry *geometry = data;
  header->size = geometry->size;
  header->l1_offset = geometry->l1_offset;
  header->l1_entries = geometry->l1_entries;
}

/* write_back_lock held. In one write. After a failure nobody knows what the disk says: the next hand-out writes it again. */
static int write_geometry(Qcow2 *q, uint64_t size, uint64_t l1_offset, uint64_t l1_entries)
{
  Geometry geometry = {size, l1_offset, l1_entries};
  int r = qcow2_header_change(q, set_geometry, &geometry);
  if (r < 0) {
    pthread_rwlock_wrlock(&q->lock);
    q->header_pending = true;
    pthread_rwlock_unlock(&q->lock);
  }
  return r;
}

/* write_back_lock held. Everything before is durable before the disk has the new size, and that when this returns. */
static int write_size(Qcow2 *q, uint64_t size)
{
  int r = q->file->ops->flush(q->file);
  if (r == 0)
    r = write_geometry(q, size, q->l1_offset, q->active.entries);
  if (r < 0)
    return r;
  atomic_store(&q->size, size);
  return q->file->ops->flush(q->file);
}

/* ── a larger L1 table: written and durable before the header names it, the old one freed after ── */

static int write_l1(Qcow2 *q, const uint64_t *l1, uint64_t entries, uint64_t offset)
{
  g_autofree uint8_t *bytes = g_try_malloc(entries * 8);
  if (!bytes)
    return -ENOMEM;
  for (uint64_t i = 0; i < entries; i++)
    qcow2_put64(bytes + i * 8, l1[i]);
  int r = bg_child_pwrite(q->file, bytes, entries * 8, offset);
  return r < 0 ? r : q->file->ops->flush(q->file);
}

static void adopt_l1(Qcow2 *q, uint64_t *l1, uint64_t entries, uint64_t offset)
{
  pthread_rwlock_wrlock(&q->lock);
  uint64_t old = q->l1_offset >> q->cluster_bits, old_bytes = q->active.entries * 8;
  for (uint64_t i = 0; i < (old_bytes + q->cluster_size - 1) >> q->cluster_bits; i++) {
    qcow2_free_later(q, old + i, false); /* by then the header is durable, too */
  }
  g_free(q->active.l1);
  q->active.l1 = l1;
  q->active.entries = entries;
  q->l1_offset = offset;
  qcow2_overlap_ranges(q);
  pthread_rwlock_unlock(&q->lock);
}

/* write_back_lock held. */
static int grow_l1(Qcow2 *q, uint64_t size, uint64_t entries)
{
  uint64_t clusters = (entries * 8 + q->cluster_size - 1) >> q->cluster_bits, first;
  g_autofree uint64_t *l1 = g_try_new0(uint64_t, entries);
  if (!l1)
    return -ENOMEM;
  pthread_rwlock_wrlock(&q->lock);
  int r = clusters == 1 ? qcow2_alloc_metadata(q, &first) : qcow2_area_alloc(q, clusters, &first);
  pthread_rwlock_unlock(&q->lock);
  if (r < 0)
    return r;
  r = qcow2_hand_out(q);
  if (r == 0) {
    if (q->active.entries)
      memcpy(l1, q->active.l1, q->active.entries * 8); /* nobody else changes it now */
    r = write_l1(q, l1, entries, first << q->cluster_bits);
  }
  if (r < 0) {
    pthread_rwlock_wrlock(&q->lock);
    qcow2_free_now(q, first, clusters);
    pthread_rwlock_unlock(&q->lock);
    return r;
  }
  /* From here on the disk may name the new table: it stays allocated even if this fails. */
  r = write_geometry(q, size, first << q->cluster_bits, entries);
  if (r < 0)
    return r;
  adopt_l1(q, g_steal_pointer(&l1), entries, first << q->cluster_bits);
  return q->file->ops->flush(q->file);
}

/* Reads what this image itself has; -ENOTSUP where the backing disk would be needed. */
static int read_own(Qcow2 *q, uint8_t *out, uint64_t offset, uint64_t length, bool backing)
{
  BgExtent extent;
  for (; length; out += extent.length, offset += extent.length, length -= extent.length) {
    int r = qcow2_map(q, offset, length, &extent);
    struct iovec iov = {out, extent.length};
    if (r == 0 && extent.kind == BG_EXTENT_BACKING && backing)
      r = -ENOTSUP;
    else if (r == 0 && extent.kind == BG_EXTENT_DATA)
      r = qcow2_read_data(q, out, extent.length, offset, extent.offset);
    else if (r == 0 && extent.kind == BG_EXTENT_SPECIAL)
      r = qcow2_preadv_special(q, &iov, 1, offset);
    else if (r == 0)
      memset(out, 0, extent.length);
    if (r < 0)
      return r;
  }
  return 0;
}

/* Copies the subcluster of the disk's end, or as much as must go with it, with zeros behind that end. */
static int copy_tail(Qcow2 *q, uint64_t old_size, bool backing)
{
  BgReservation place;
  int r = qcow2_reserve(q, old_size & ~(q->sub_size - 1), q->sub_size, &place);
  if (r < 0)
    return r;
  g_autofree uint8_t *bytes = g_try_malloc0(place.length);
  r = bytes ? read_own(q, bytes, place.offset, old_size - place.offset, backing) : -ENOMEM;
  if (r == 0)
    r = qcow2_write_data(q, bytes, place.length, place.offset, place.child_offset);
  if (r == 0)
    return qcow2_commit(q, &place);
  qcow2_abort(q, &place);
  return r;
}

/* What lies behind the disk's end in its last cluster becomes part of the disk: it has to be zeros. Whole subclusters are made so afterwards,
 * but for those of a compressed cluster. */
static int clear_tail(Qcow2 *q, uint64_t old_size, uint64_t new_size, bool backing)
{
  uint64_t end = MIN(new_size, (old_size + q->cluster_size - 1) & ~(q->cluster_size - 1));
  BgExtent extent;
  if (end <= old_size)
    return 0;
  int r = qcow2_map(q, old_size, end - old_size, &extent);
  if (r < 0 || extent.kind == BG_EXTENT_ZERO || extent.kind == BG_EXTENT_BACKING)
    return r;
  if (extent.kind == BG_EXTENT_DATA && (old_size & (q->sub_size - 1)) == 0)
    return 0;
  if (!(extent.flags & BG_EXTENT_IN_PLACE))
    return copy_tail(q, old_size, backing);
  g_autofree uint8_t *zeros = g_try_malloc0(extent.length);
  return zeros ? qcow2_write_data(q, zeros, extent.length, old_size, extent.offset) : -ENOMEM;
}

/* A data file may be longer than the disk, and one that reads as the disk grows with it. */
static int grow_data_file(Qcow2 *q, uint64_t old_size, uint64_t size)
{
  uint64_t end = q->raw ? size : MIN(size, (old_size + q->cluster_size - 1) & ~(q->cluster_size - 1));
  int64_t there = q->data->ops->size(q->data);
  if (there < 0)
    return (int)there;
  int r = 0;
  if (old_size < MIN(end, (uint64_t)there))
    r = q->data->ops->zero(q->data, old_size, MIN(end, (uint64_t)there) - old_size, BG_ZERO_MAY_UNMAP);
  if (r == 0 && q->raw && (uint64_t)there != size)
    r = q->data->ops->resize(q->data, size);
  return r == 0 ? q->data->ops->flush(q->data) : r;
}

/* Clusters behind the disk's end are named no longer. Failures leave space in use, no more. */
static void shrink_data_file(Qcow2 *q, uint64_t old_size, uint64_t size)
{
  if (q->raw)
    q->data->ops->resize(q->data, size);
  else
    q->data->ops->discard(q->data, size, old_size - size);
}

static int grow(Qcow2 *q, uint64_t old_size, uint64_t size, bool backing)
{
  uint64_t entries = qcow2_l1_entries_for(size, q->cluster_bits + q->l2_bits);
  uint64_t whole = (old_size + q->sub_size - 1) & ~(q->sub_size - 1);
  if (entries * 8 > QCOW2_MAX_L1_BYTES)
    return -EFBIG;
  if (backing && q->version < 3) /* no way to hide what a longer backing disk has there */
    return -ENOTSUP;
  int r = qcow2_zeros_below(q) ? grow_data_file(q, old_size, size) : clear_tail(q, old_size, size, backing);
  if (r < 0)
    return r;
  /* A larger L1 table first, so that new space can be made to read as zeros before the disk shows it. */
  pthread_mutex_lock(&q->write_back_lock);
  if (entries > q->active.entries)
    r = grow_l1(q, old_size, entries);
  pthread_mutex_unlock(&q->write_back_lock);
  if (r == 0 && size > whole)
    r = qcow2_zero_range(q, whole, size - whole, BG_ZERO_MAY_UNMAP, backing);
  if (r == 0)
    r = qcow2_write_back(q);
  if (r < 0)
    return r;
  pthread_mutex_lock(&q->write_back_lock);
  r = write_size(q, size);
  pthread_mutex_unlock(&q->write_back_lock);
  return r;
}

/* ── a smaller disk ── */

/* Frees the L2 tables under L1 entries from `index` on, which map nothing any more. */
static void drop_tables(Qcow2 *q, uint64_t index)
{
  pthread_rwlock_wrlock(&q->lock);
  for (; index < q->active.entries; index++) {
    uint64_t offset = qcow2_entry_offset(q->active.l1[index]);
    if (!offset)
      continue;
    qcow2_free_later(q, offset >> q->cluster_bits, true);
    g_hash_table_remove(q->tables, GSIZE_TO_POINTER(offset >> q->cluster_bits));
    qcow2_cache_remove(&q->l2, offset);
    qcow2_l1_set(q, index, 0);
  }
  pthread_rwlock_unlock(&q->lock);
}

/* `lock` held exclusive. Makes `count` entries of one L2 table holes. */
static int empty_entries(Qcow2 *q, uint64_t offset, uint64_t count)
{
  Qcow2Table *table;
  uint64_t index = qcow2_l2_index(q, offset);
  int r = qcow2_l2_get(q, &q->active, offset, &table);
  if (r < 0 || !table)
    return r;
  bool any = false;
  for (uint64_t i = index; r == 0 && i < index + count; i++) {
    Qcow2Entry entry = qcow2_l2_entry(q, table, i);
    any |= entry.word || entry.bitmap;
    r = qcow2_entry_check(q, entry, offset + ((i - index) << q->cluster_bits));
  }
  if (r == 0 && any)
    r = qcow2_l2_own(q, offset, &table);
  for (uint64_t i = index; r == 0 && any && i < index + count; i++) {
    qcow2_entry_free(q, qcow2_l2_entry(q, table, i), true);
    qcow2_l2_set(q, table, i, (Qcow2Entry){0});
  }
  return r;
}

/* Nothing is allocated in [offset, end) any more, whatever is below. */
static int empty_range(Qcow2 *q, uint64_t offset, uint64_t end)
{
  unsigned table_bits = q->cluster_bits + q->l2_bits;
  while (offset < end) {
    uint64_t next = MIN(end, ((offset >> table_bits) + 1) << table_bits);
    int r = qcow2_relieve(q);
    if (r == 0)
      r = qcow2_l2_prefetch(q, offset);
    if (r < 0)
      return r;
    pthread_rwlock_wrlock(&q->lock);
    r = empty_entries(q, offset, (next - offset + q->cluster_size - 1) >> q->cluster_bits);
    pthread_rwlock_unlock(&q->lock);
    if (r < 0)
      return r;
    offset = next;
  }
  return 0;
}

static int shrink(Qcow2 *q, uint64_t old_size, uint64_t size)
{
  uint64_t whole = (size + q->cluster_size - 1) & ~(q->cluster_size - 1);
  pthread_mutex_lock(&q->write_back_lock);
  int r = write_size(q, size);
  pthread_mutex_unlock(&q->write_back_lock);
  if (r < 0)
    return r;
  /* The disk is shorter now. Space that cannot be given back stays in use behind its end. */
  if (whole < old_size && empty_range(q, whole, old_size) == 0) {
    pthread_mutex_lock(&q->write_back_lock);
    drop_tables(q, qcow2_l1_entries_for(size, q->cluster_bits + q->l2_bits));
    pthread_mutex_unlock(&q->write_back_lock);
  }
  r = qcow2_write_back(q);
  if (r == 0 && q->external)
    shrink_data_file(q, old_size, size);
  return r;
}

int qcow2_resize(void *instance, uint64_t size)
{
  Qcow2 *q = instance;
  uint64_t old_size = atomic_load(&q->size);
  if (size == old_size)
    return 0;
  if (size > INT64_MAX)
    return -EFBIG;
  if (atomic_load(&q->damaged))
    return -EIO;
  if (q->snapshots.count && q->version < 3) /* its snapshots do not record the size that they need */
    return -ENOTSUP;
  bool backing = q->host->has_child(q->host, "backing");
  int r = qcow2_bitmaps_mark(q, true); /* none has the right size any more */
  if (r < 0)
    return r;
  return qcow2_damage_report(q, size > old_size ? grow(q, old_size, size, backing) : shrink(q, old_size, size));
}
