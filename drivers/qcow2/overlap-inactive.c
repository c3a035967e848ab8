/* Where the L2 tables of snapshots lie, for who wants them protected, too: all L1 tables have to be read for it. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

/* Bounds of the time and of the memory that an image can cost: the tables of 2 PiB with clusters of 64 KiB. */
#define MAX_L1_BYTES (UINT64_C(1) << 30)
enum { MAX_TABLES = 1 << 22, PIECE = 8192 };

static bool too_many(GError **error)
{
  bg_set_error(error, EFBIG, "The snapshots have too many tables to be kept apart (overlap-check.inactive-l2)");
  return false;
}

/* `piece` has room for PIECE entries. */
static bool collect(const Qcow2 *q, const Qcow2Snapshot *snapshot, uint64_t *piece, GHashTable *clusters,
                    GError **error)
{
  for (uint64_t at = 0, count; at < snapshot->l1_entries; at += count) {
    count = MIN(snapshot->l1_entries - at, (uint64_t)PIECE);
    int r = bg_child_pread(q->file, piece, count * 8, snapshot->l1_offset + at * 8);
    if (r < 0) {
      bg_set_error_errno(error, -r, "Cannot read a snapshot's L1 table");
      return false;
    }
    for (uint64_t i = 0; i < count; i++) {
      uint64_t offset = qcow2_entry_offset(be64toh(piece[i]));
      if (offset)
        g_hash_table_add(clusters, GSIZE_TO_POINTER(offset >> q->cluster_bits));
    }
    if (g_hash_table_size(clusters) > MAX_TABLES)
      return too_many(error);
  }
  return true;
}

bool qcow2_inactive_read(Qcow2 *q, const Qcow2Snapshots *snapshots, GHashTable **clusters, GError **error)
{
  g_autoptr(GHashTable) read = g_hash_table_new(NULL, NULL);
  g_autofree uint64_t *piece = g_new(uint64_t, PIECE);
  uint64_t bytes = 0;
  for (size_t i = 0; i < snapshots->count; i++) {
    bytes += (uint64_t)snapshots->list[i].l1_entries * 8;
    if (bytes > MAX_L1_BYTES)
      return too_many(error);
    if (!collect(q, &snapshots->list[i], piece, read, error))
      return false;
  }
  *clusters = g_steal_pointer(&read);
  return true;
}

/* The first of them that is something else, too, or that the disk would write to; 0: none. `lock` held. */
static uint64_t find_conflict(const Qcow2 *q, GHashTable *clusters)
{
  GHashTableIter iter;
  void *key;
  g_hash_table_iter_init(&iter, clusters);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    if (qcow2_classes_of(q, GPOINTER_TO_SIZE(key)) & ~(QCOW2_OVERLAP_ACTIVE_L2 | QCOW2_OVERLAP_INACTIVE_L2))
      return GPOINTER_TO_SIZE(key);
  for (uint64_t i = 0; i < q->active.entries; i++) {
    uint64_t cluster = qcow2_entry_offset(q->active.l1[i]) >> q->cluster_bits;
    if (cluster && q->active.l1[i] & QCOW2_COPIED && g_hash_table_contains(clusters, GSIZE_TO_POINTER(cluster)))
      return cluster;
  }
  return 0;
}

bool qcow2_inactive_check(Qcow2 *q, GHashTable *clusters, GError **error)
{
  pthread_rwlock_rdlock(&q->lock);
  uint64_t conflict = find_conflict(q, clusters);
  pthread_rwlock_unlock(&q->lock);
  if (conflict)
    bg_set_error(error, EROFS, "The image is damaged: a snapshot's L2 table at 0x%" PRIx64 " overlaps other metadata",
                 conflict << q->cluster_bits);
  return conflict == 0;
}
