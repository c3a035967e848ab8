/* Everything in an image that names clusters, but for what L2 tables say. */
#include "drivers/qcow2/check-pass.h"

#include <errno.h>
#include <inttypes.h>

enum { PIECE = 8192 }; /* entries of an L1 table that are read at once */

typedef struct L1 {
  uint64_t offset, entries;
  bool active;
} L1;

/* Metadata that several parties name may be read as often only once: each L2 table is taken note of, with how often it is
 * named, and walked afterwards. */
static void note_table(Qcow2Check *check, uint64_t cluster, bool active)
{
  uint64_t actives, references = qcow2_check_table_references(check, cluster, &actives);
  if (references == 0) {
    Qcow2Range range = {cluster, cluster + 1};
    g_array_append_val(check->metadata, range);
  }
  references = MIN(references + 1, UINT32_MAX);
  actives = MIN(actives + active, UINT32_MAX);
  g_hash_table_insert(check->tables, GSIZE_TO_POINTER(cluster), GSIZE_TO_POINTER(actives << 32 | references));
}

static void check_flag(Qcow2Check *check, uint64_t entry, uint64_t index)
{
  uint64_t refcount;
  if (qcow2_disk_refcount(check, qcow2_entry_offset(entry) >> check->q->cluster_bits, &refcount) &&
      (refcount == 1) != !!(entry & QCOW2_COPIED))
    qcow2_check_found(check, QCOW2_FALSE_FLAG, 1,
                      "Entry %" PRIu64 " of the L1 table (0x%" PRIx64 ") contradicts the refcount %" PRIu64, index,
                      entry, refcount);
}

static int walk_l1_entry(Qcow2Check *check, const L1 *l1, uint64_t index, uint64_t entry)
{
  uint64_t at = qcow2_entry_offset(entry);
  bool inside;
  if (entry & QCOW2_L1_RESERVED)
    qcow2_check_found(check, QCOW2_STRUCTURE, 1,
                      "Entry %" PRIu64 " of an L1 table (0x%" PRIx64 ") has reserved bits set", index, entry);
  if (at == 0)
    return 0;
  int r = qcow2_check_refer(check, "L2 table", at, check->q->cluster_size, 1, &inside);
  if (r < 0)
    return r;
  if (at & (check->q->cluster_size - 1))
    qcow2_check_found(check, QCOW2_STRUCTURE, 1, "An L2 table lies at the unaligned offset 0x%" PRIx64, at);
  else if (inside)
    note_table(check, at >> check->q->cluster_bits, l1->active);
  if (!inside || at & (check->q->cluster_size - 1))
    check->incomplete = true;
  if (l1->active)
    check_flag(check, entry, index);
  return 0;
}

static int walk_l1(Qcow2Check *check, const L1 *l1)
{
  bool inside;
  int r = qcow2_check_refer_metadata(check, "L1 table", l1->offset, l1->entries * 8, &inside);
  if (r < 0)
    return r;
  if (!inside) {
    check->incomplete = true;
    return 0;
  }
  g_autofree uint64_t *piece = g_new(uint64_t, PIECE);
  for (uint64_t i = 0; i < l1->entries; i += PIECE) {
    uint64_t count = MIN(l1->entries - i, (uint64_t)PIECE);
    r = bg_child_pread(check->file, piece, count * 8, l1->offset + i * 8);
    if (r < 0) {
      qcow2_check_found(check, QCOW2_UNREADABLE, 1, "The L1 table at 0x%" PRIx64 " cannot be read: %s", l1->offset,
                        g_strerror(-r));
      return 0;
    }
    for (uint64_t j = 0; j < count && r == 0; j++)
      if (piece[j])
        r = walk_l1_entry(check, l1, i + j, be64toh(piece[j]));
    if (r == 0)
      r = qcow2_check_progress(check, 0);
    if (r < 0)
      return r;
  }
  return 0;
}

/* L1 tables that together are larger than the file overlap, and to read them all could take forever. */
static int walk_l1_tables(Qcow2Check *check)
{
  uint64_t room = check->file_size + check->q->cluster_size * (check->snapshots.count + 1);
  L1 active = {check->header.l1_offset, check->header.l1_entries, true};
  int r = walk_l1(check, &active);
  uint64_t bytes = active.entries * 8;
  for (size_t i = 0; r == 0 && i < check->snapshots.count; i++) {
    const Qcow2Snapshot *snapshot = &check->snapshots.list[i];
    L1 l1 = {snapshot->l1_offset, snapshot->l1_entries, false};
    bytes += l1.entries * 8;
    if (bytes > room) {
      qcow2_check_found(check, QCOW2_STRUCTURE, 1, "The snapshots' L1 tables overlap each other");
      check->incomplete = true;
      break;
    }
    if (check->header.version >= 3 && snapshot->extra_size < QCOW2_SNAPSHOT_EXTRA_V3)
      qcow2_check_found(check, QCOW2_STRUCTURE, 1, "The snapshot '%s' lacks fields that version 3 has", snapshot->name);
    r = walk_l1(check, &l1);
  }
  return r;
}

/* ── refcount table and blocks ── */

static int walk_block(Qcow2Check *check, uint64_t number, uint64_t entry)
{
  uint64_t at = entry & QCOW2_REFTABLE_MASK, cluster = at >> check->q->cluster_bits;
  const char *wrong = NULL;
  if (entry & QCOW2_REFTABLE_RESERVED)
    wrong = "has reserved bits set in the refcount table";
  else if (at & (check->q->cluster_size - 1))
    wrong = "lies at an unaligned offset";
  else if (at && cluster >= qcow2_check_clusters(check))
    wrong = "lies past the end of the file";
  if (wrong) {
    qcow2_check_found(check, QCOW2_STRUCTURE, 1, "The refcount block %" PRIu64 " (0x%" PRIx64 ") %s", number, entry,
                      wrong);
    g_hash_table_add(check->replaced, GSIZE_TO_POINTER(number));
    g_hash_table_add(check->uncounted, GSIZE_TO_POINTER(number));
    return 0;
  }
  if (!at)
    return 0;
  int r = qcow2_check_refer(check, "refcount block", at, check->q->cluster_size, 1, NULL);
  if (r == 0 && qcow2_counts_get(&check->counts, cluster) != 1) {
    qcow2_check_found(check, QCOW2_STRUCTURE, 1,
                      "The refcount block %" PRIu64 " at 0x%" PRIx64 " is named more than once", number, at);
    g_hash_table_add(check->replaced, GSIZE_TO_POINTER(number));
  }
  return r;
}

static int walk_blocks(Qcow2Check *check)
{
  int r = 0;
  for (uint64_t i = 0; i < check->reftable_entries && r == 0; i++)
    if (check->reftable[i])
      r = walk_block(check, i, check->reftable[i]);
  return r;
}

int qcow2_check_walk(Qcow2Check *check)
{
  const Qcow2Header *header = &check->header;
  int r = qcow2_check_refer_metadata(check, "header", 0, check->q->cluster_size, NULL);
  if (r == 0)
    r = walk_l1_tables(check);
  if (r == 0)
    r = qcow2_check_walk_tables(check);
  if (r == 0)
    r = qcow2_check_refer_metadata(check, "snapshot table", header->snapshots_offset, check->snapshots.bytes, NULL);
  if (r == 0)
    r = qcow2_check_refer_metadata(check, "refcount table", header->reftable_offset, check->reftable_entries * 8, NULL);
  if (r == 0)
    r = qcow2_check_refer_metadata(check, "encryption header", header->crypto_offset, header->crypto_size, NULL);
  if (r == 0)
    r = qcow2_check_walk_bitmaps(check);
  return r == 0 ? walk_blocks(check) : r;
}
