/* From the disk to memory: the L1 table, and what a writer needs. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>

/* A table of big-endian numbers; `count` was checked against its cap. */
static bool read_entries(BgChild *file, const char *what, uint64_t offset, uint64_t count, uint64_t **entries,
                         GError **error)
{
  if (count == 0) {
    *entries = NULL;
    return true;
  }
  g_autofree uint64_t *read = g_try_new(uint64_t, count);
  int r = read ? bg_child_pread(file, read, count * 8, offset) : -ENOMEM;
  if (r < 0) {
    bg_set_error_errno(error, -r, "Cannot read the %s", what);
    return false;
  }
  for (uint64_t i = 0; i < count; i++)
    read[i] = be64toh(read[i]);
  *entries = g_steal_pointer(&read);
  return true;
}

bool qcow2_l1_read(BgChild *file, uint64_t offset, uint64_t entries, uint64_t **l1, GError **error)
{
  return read_entries(file, "L1 table", offset, entries, l1, error);
}

bool qcow2_l1_compare(Qcow2 *q, const Qcow2Header *header, bool *same, GError **error)
{
  enum { PIECE = 8192 };
  g_autofree uint64_t *piece = g_new(uint64_t, PIECE);
  bool equal = header->l1_entries == q->active.entries;
  for (uint64_t i = 0; i < q->active.entries && equal; i += PIECE) {
    uint64_t count = MIN(q->active.entries - i, (uint64_t)PIECE);
    int r = bg_child_pread(q->file, piece, count * 8, header->l1_offset + i * 8);
    if (r < 0) {
      bg_set_error_errno(error, -r, "Cannot read the L1 table");
      return false;
    }
    for (uint64_t j = 0; j < count && equal; j++)
      equal = be64toh(piece[j]) == q->active.l1[i + j];
  }
  *same = equal;
  return true;
}

bool qcow2_writer_load(Qcow2 *q, const Qcow2Header *header, GError **error)
{
  uint64_t entries = (uint64_t)header->reftable_clusters << q->cluster_bits >> 3, *reftable;
  if (!read_entries(q->file, "refcount table", header->reftable_offset, entries, &reftable, error))
    return false;
  int64_t file_size = q->file->ops->size(q->file);
  BgLimits limits;
  q->file->ops->limits(q->file, &limits);
  pthread_rwlock_wrlock(&q->lock);
  g_free(q->reftable);
  q->reftable = reftable;
  q->reftable_entries = entries;
  q->reftable_offset = header->reftable_offset;
  q->free_hint = 0;
  q->packed_end = 0;
  q->high_water = file_size < 0 ? UINT64_MAX : (uint64_t)file_size;
  q->grows = limits.grows;
  bool sound = qcow2_overlap_build(q, error);
  pthread_rwlock_unlock(&q->lock);
  if (!sound)
    qcow2_writer_drop(q);
  return sound;
}

void qcow2_writer_drop(Qcow2 *q)
{
  pthread_rwlock_wrlock(&q->lock);
  g_clear_pointer(&q->reftable, g_free);
  q->reftable_entries = 0;
  q->packed_end = 0;
  qcow2_cache_clear(&q->blocks);
  g_hash_table_remove_all(q->tables);
  g_clear_pointer(&q->inactive, g_hash_table_unref);
  g_array_set_size(q->ranges, 0);
  for (guint i = 0; i < q->quarantine->len; i++) /* the file cannot be punched any more */
    g_array_index(q->quarantine, Qcow2Quarantined, i).unmap = false;
  pthread_rwlock_unlock(&q->lock);
}
