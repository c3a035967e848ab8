#include "drivers/qcow2/image.h"

#include <errno.h>
#include <inttypes.h>

bool qcow2_entry_has_space(const Qcow2 *q, Qcow2Entry entry)
{
  if (entry.word & QCOW2_COMPRESSED)
    return false;
  /* the first cluster of a data file is at 0 */
  return qcow2_entry_offset(entry.word) || (q->external && entry.word & QCOW2_COPIED);
}

Qcow2Kind qcow2_entry_kind(const Qcow2 *q, Qcow2Entry entry, unsigned subcluster)
{
  if (entry.word & QCOW2_COMPRESSED)
    return QCOW2_DEFLATED;
  if (entry.bitmap >> 32 >> subcluster & 1)
    return qcow2_entry_has_space(q, entry) ? QCOW2_ZERO_ALLOCATED : QCOW2_ZERO_PLAIN;
  return entry.bitmap >> subcluster & 1 ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
}

uint32_t qcow2_subclusters(const Qcow2 *q, uint64_t from, uint64_t to)
{
  unsigned first = (from & (q->cluster_size - 1)) >> q->sub_bits;
  unsigned count = ((to - 1) >> q->sub_bits) - (from >> q->sub_bits) + 1;
  return (uint32_t)(((UINT64_C(1) << count) - 1) << first);
}

Qcow2Entry qcow2_l2_entry(const Qcow2 *q, const Qcow2Table *table, uint64_t index)
{
  Qcow2Entry entry = {0};
  if (q->extended) {
    entry.word = qcow2_get64(table->data + index * 16);
    entry.bitmap = qcow2_get64(table->data + index * 16 + 8);
    return entry;
  }
  entry.word = qcow2_get64(table->data + index * 8);
  if (entry.word & QCOW2_COMPRESSED)
    return entry;
  if (entry.word & QCOW2_ZERO)
    entry.bitmap = UINT64_C(1) << 32;
  else if (qcow2_entry_has_space(q, entry))
    entry.bitmap = 1;
  entry.word &= ~QCOW2_ZERO;
  return entry;
}

void qcow2_entry_compressed(const Qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *length)
{
  unsigned offset_bits = qcow2_compressed_offset_bits(q);
  uint64_t at = entry & ((UINT64_C(1) << offset_bits) - 1);
  uint64_t sectors = ((entry & (QCOW2_COMPRESSED - 1)) >> offset_bits) + 1;
  *offset = at;
  *length = sectors * 512 - (at & 511);
}

static int check_compressed(Qcow2 *q, uint64_t word)
{
  uint64_t offset, length;
  if (q->external)
    return qcow2_damage(q, "An L2 table holds a compressed entry, which an image with a data file cannot have");
  qcow2_entry_compressed(q, word, &offset, &length);
  if (offset == 0 || offset + length > QCOW2_MAX_OFFSET || word & QCOW2_COPIED)
    return qcow2_damage(q, "An L2 table holds a false compressed entry (0x%" PRIx64 ")", word);
  return 0;
}

static int check_bitmap(Qcow2 *q, Qcow2Entry entry)
{
  if (entry.word & QCOW2_ZERO)
    return qcow2_damage(q, "An extended L2 entry has the zero flag (0x%" PRIx64 ")", entry.word);
  if (entry.bitmap & entry.bitmap >> 32)
    return qcow2_damage(q, "An L2 table says that a subcluster is allocated and zeros at once");
  if ((uint32_t)entry.bitmap && !qcow2_entry_has_space(q, entry))
    return qcow2_damage(q, "An L2 table names subclusters that are nowhere");
  return 0;
}

int qcow2_entry_check(Qcow2 *q, Qcow2Entry entry, uint64_t guest)
{
  uint64_t offset = qcow2_entry_offset(entry.word);
  if (entry.word & QCOW2_COMPRESSED)
    return check_compressed(q, entry.word);
  if (offset & (q->cluster_size - 1))
    return qcow2_damage(q, "An L2 table names a cluster at the unaligned offset 0x%" PRIx64, offset);
  if (q->external && qcow2_entry_has_space(q, entry) && offset != guest)
    return qcow2_damage(q, "An L2 table names the data file's 0x%" PRIx64 " for the disk's 0x%" PRIx64, offset, guest);
  if (q->version < 3 && entry.bitmap >> 32)
    return qcow2_damage(q, "An L2 table of a version 2 image holds a zero cluster");
  return check_bitmap(q, entry);
}

int qcow2_read_cluster(Qcow2 *q, const char *what, uint64_t offset, uint8_t **data)
{
  int64_t file_size = q->file->ops->size(q->file);
  if (file_size < 0)
    return (int)file_size;
  if (offset & (q->cluster_size - 1) || offset == 0 || offset >= (uint64_t)file_size)
    return qcow2_damage(q, "A %s lies at the impossible offset 0x%" PRIx64, what, offset);
  g_autofree uint8_t *bytes = g_try_malloc(q->cluster_size);
  if (!bytes)
    return -ENOMEM;
  int r = bg_child_pread(q->file, bytes, q->cluster_size, offset);
  if (r == 0)
    *data = g_steal_pointer(&bytes);
  return r;
}

int qcow2_l2_find(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, Qcow2Table **table, uint64_t *missing)
{
  uint64_t index = qcow2_l1_index(q, offset);
  uint64_t at = index < tables->entries ? qcow2_entry_offset(tables->l1[index]) : 0;
  *missing = 0;
  *table = NULL;
  if (at == 0)
    return 0;
  if (at & (q->cluster_size - 1))
    return qcow2_damage(q, "The L1 table names an L2 table at the unaligned offset 0x%" PRIx64, at);
  *table = qcow2_cache_find(&q->l2, at);
  if (!*table)
    *missing = at;
  return 0;
}

int qcow2_l2_get(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, Qcow2Table **table)
{
  uint64_t missing;
  int r = qcow2_l2_find(q, tables, offset, table, &missing);
  if (r < 0 || !missing)
    return r;
  uint8_t *data;
  r = qcow2_read_cluster(q, "L2 table", missing, &data);
  if (r == 0)
    *table = qcow2_cache_insert(&q->l2, missing, data);
  return r;
}

int qcow2_l2_load(Qcow2 *q, uint64_t table_offset)
{
  pthread_rwlock_rdlock(&q->lock);
  bool present = qcow2_cache_find(&q->l2, table_offset);
  uint64_t generation = q->l2.generation;
  pthread_rwlock_unlock(&q->lock);
  if (present)
    return 0;
  uint8_t *data = NULL;
  pthread_rwlock_rdlock(&q->table_io);
  int r = qcow2_read_cluster(q, "L2 table", table_offset, &data);
  pthread_rwlock_unlock(&q->table_io);
  if (r < 0)
    return r;
  pthread_rwlock_wrlock(&q->lock);
  if (generation == q->l2.generation && !qcow2_cache_find(&q->l2, table_offset))
    qcow2_cache_insert(&q->l2, table_offset, g_steal_pointer(&data));
  pthread_rwlock_unlock(&q->lock);
  g_free(data);
  return 0;
}

static int prefetch(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset)
{
  Qcow2Table *table;
  uint64_t missing;
  pthread_rwlock_rdlock(&q->lock);
  int r = qcow2_l2_find(q, tables, offset, &table, &missing);
  pthread_rwlock_unlock(&q->lock);
  return r < 0 || !missing ? r : qcow2_l2_load(q, missing);
}

int qcow2_l2_prefetch(Qcow2 *q, uint64_t offset)
{
  return prefetch(q, &q->active, offset);
}

int qcow2_l2_look_up(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, Qcow2Entry *entry)
{
  int r = prefetch(q, tables, offset);
  if (r < 0)
    return r;
  Qcow2Table *table;
  uint64_t missing;
  pthread_rwlock_rdlock(&q->lock);
  r = qcow2_l2_find(q, tables, offset, &table, &missing);
  if (r == 0 && missing) {
    pthread_rwlock_unlock(&q->lock);
    pthread_rwlock_wrlock(&q->lock);
    r = qcow2_l2_get(q, tables, offset, &table);
  }
  *entry = (Qcow2Entry){0};
  if (r == 0 && table)
    *entry = qcow2_l2_entry(q, table, qcow2_l2_index(q, offset));
  if (r == 0)
    r = qcow2_entry_check(q, *entry, offset & ~(q->cluster_size - 1));
  pthread_rwlock_unlock(&q->lock);
  return r;
}
