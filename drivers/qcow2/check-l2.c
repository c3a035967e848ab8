/* What L2 tables name. */
#include "drivers/qcow2/check-pass.h"

#include <errno.h>
#include <inttypes.h>

/* A table under way. */
typedef struct Walk {
  Qcow2Check *check;
  uint64_t table;      /* cluster */
  uint64_t references; /* how often the table is named, thus what it names */
  uint64_t active;     /* by the active L1 table */
  uint64_t next;       /* offset of a cluster that would go on where the last one ended; 0: none yet */
} Walk;

static int compare_numbers(gconstpointer a, gconstpointer b)
{
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

GArray *qcow2_check_sorted_tables(Qcow2Check *check)
{
  GArray *sorted = g_array_sized_new(FALSE, FALSE, sizeof(uint64_t), g_hash_table_size(check->tables));
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, check->tables);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    uint64_t cluster = GPOINTER_TO_SIZE(key);
    g_array_append_val(sorted, cluster);
  }
  g_array_sort(sorted, compare_numbers);
  return sorted;
}

static int walk_compressed(Walk *walk, uint64_t entry)
{
  Qcow2Check *check = walk->check;
  uint64_t offset, length;
  if (entry & QCOW2_COPIED)
    qcow2_check_found(check, QCOW2_FALSE_FLAG, walk->references,
                      "A compressed cluster (L2 entry 0x%" PRIx64 ") bears the mark of one that may be overwritten",
                      entry);
  qcow2_entry_compressed(check->q, entry & ~QCOW2_COPIED, &offset, &length);
  check->result.allocated_clusters += walk->active;
  check->result.compressed_clusters += walk->active;
  check->result.fragmented_clusters += walk->active; /* they share clusters: each costs a read of its own */
  return qcow2_check_refer(check, "compressed cluster", offset, length, walk->references, NULL);
}

static void count_fragments(Walk *walk, uint64_t offset)
{
  if (!walk->active)
    return;
  walk->check->result.allocated_clusters += walk->active;
  if (walk->next && offset != walk->next)
    walk->check->result.fragmented_clusters += walk->active;
  walk->next = offset + walk->check->q->cluster_size;
}

static void check_flag(Walk *walk, uint64_t entry)
{
  Qcow2Check *check = walk->check;
  uint64_t refcount, cluster = qcow2_entry_offset(entry) >> check->q->cluster_bits;
  if (qcow2_disk_refcount(check, cluster, &refcount) && (refcount == 1) != !!(entry & QCOW2_COPIED))
    qcow2_check_found(check, QCOW2_FALSE_FLAG, walk->active,
                      "The L2 entry 0x%" PRIx64 " contradicts its cluster's refcount %" PRIu64, entry, refcount);
}

static int walk_allocated(Walk *walk, uint64_t entry)
{
  Qcow2Check *check = walk->check;
  uint64_t offset = qcow2_entry_offset(entry);
  count_fragments(walk, offset);
  if (walk->active)
    check_flag(walk, entry);
  if (offset & (check->q->cluster_size - 1)) {
    qcow2_check_found(check, QCOW2_STRUCTURE, walk->references,
                      "An L2 entry names a cluster at the unaligned offset 0x%" PRIx64, offset);
    if (entry & QCOW2_ZERO && !check->q->extended && check->fix == BG_FIX_ALL)
      return 0; /* the flags' turn takes the offset away */
  }
  return qcow2_check_refer(check, "cluster", offset, check->q->cluster_size, walk->references, NULL);
}

/* Data in a data file, to which nobody counts references. */
static void walk_external(Walk *walk, uint64_t entry)
{
  Qcow2Check *check = walk->check;
  uint64_t offset = qcow2_entry_offset(entry);
  if (offset || entry & QCOW2_COPIED)
    count_fragments(walk, offset);
  if (entry & QCOW2_COMPRESSED || offset & (check->q->cluster_size - 1))
    qcow2_check_found(check, QCOW2_STRUCTURE, walk->references,
                      "The L2 entry 0x%" PRIx64 " is not one of an image with a data file", entry);
}

static void check_bitmap(Walk *walk, uint64_t word, uint64_t bitmap)
{
  Qcow2Check *check = walk->check;
  Qcow2Entry entry = {word, bitmap};
  bool compressed = word & QCOW2_COMPRESSED, nowhere = (uint32_t)bitmap && !qcow2_entry_has_space(check->q, entry);
  if (compressed ? bitmap != 0 : bitmap & bitmap >> 32 || word & QCOW2_ZERO || nowhere)
    qcow2_check_found(check, QCOW2_STRUCTURE, walk->references,
                      "The L2 entry 0x%" PRIx64 " contradicts its subclusters 0x%" PRIx64, word, bitmap);
}

static int walk_entry(Walk *walk, uint64_t entry)
{
  Qcow2Check *check = walk->check;
  if (entry & QCOW2_COMPRESSED && !check->q->external)
    return walk_compressed(walk, entry);
  if (entry & QCOW2_L2_RESERVED)
    qcow2_check_found(check, QCOW2_STRUCTURE, walk->references, "The L2 entry 0x%" PRIx64 " has reserved bits set",
                      entry);
  if (entry & QCOW2_ZERO && check->header.version < 3)
    qcow2_check_found(check, QCOW2_STRUCTURE, walk->references,
                      "The L2 entry 0x%" PRIx64 " marks zeros, which version 2 does not know", entry);
  if (check->q->external)
    walk_external(walk, entry);
  return qcow2_entry_offset(entry) && !check->q->external ? walk_allocated(walk, entry) : 0;
}

static int walk_table(Walk *walk, uint64_t *entries)
{
  Qcow2Check *check = walk->check;
  int r = bg_child_pread(check->file, entries, check->q->cluster_size, walk->table << check->q->cluster_bits);
  if (r < 0) {
    qcow2_check_found(check, QCOW2_UNREADABLE, 1, "The L2 table at 0x%" PRIx64 " cannot be read: %s",
                      walk->table << check->q->cluster_bits, g_strerror(-r));
    check->incomplete = true;
    return 0;
  }
  unsigned words = check->q->extended ? 2 : 1;
  for (uint64_t i = 0; i < check->q->l2_entries * words && r == 0; i += words) {
    if (words == 2)
      check_bitmap(walk, be64toh(entries[i]), be64toh(entries[i + 1]));
    if (entries[i])
      r = walk_entry(walk, be64toh(entries[i]));
  }
  return r;
}

int qcow2_check_walk_tables(Qcow2Check *check)
{
  g_autoptr(GArray) sorted = qcow2_check_sorted_tables(check);
  g_autofree uint64_t *entries = g_try_malloc(check->q->cluster_size);
  if (!entries)
    return -ENOMEM;
  check->work = sorted->len + (qcow2_check_clusters(check) >> check->counts.block_bits) + 1;
  for (guint i = 0; i < sorted->len; i++) {
    Walk walk = {.check = check, .table = g_array_index(sorted, uint64_t, i)};
    walk.references = qcow2_check_table_references(check, walk.table, &walk.active);
    int r = walk_table(&walk, entries);
    if (r == 0)
      r = qcow2_check_progress(check, 1);
    if (r < 0)
      return r;
  }
  return 0;
}
