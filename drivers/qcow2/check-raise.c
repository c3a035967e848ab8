/* Refcounts that are too low, or that there is no block for. */
#include "drivers/iov.h"
#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/check-pass.h"

#include <errno.h>
#include <inttypes.h>

/* What is made anew, in clusters that nothing uses: blocks first, then the table. */
typedef struct Growth {
  GArray *numbers; /* uint64_t, of the new blocks */
  uint64_t first;
  uint64_t table_clusters; /* 0: the table stays where it is */
} Growth;

static bool is_shared(const Qcow2Check *check, uint64_t first, uint64_t count)
{
  for (uint64_t i = 0; i < count; i++)
    if (qcow2_counts_get(&check->counts, first + i) > 1)
      return true;
  return false;
}

/* ── blocks that are there ── */

/* Writes what differs between a block on disk and `bytes`, in whole sectors. */
static int write_block(Qcow2Check *check, uint64_t number, const uint8_t *disk, const uint8_t *bytes)
{
  uint64_t at = check->reftable[number] & QCOW2_REFTABLE_MASK;
  for (size_t sector = 0; sector < check->q->cluster_size; sector += 512) {
    if (memcmp(disk + sector, bytes + sector, 512) == 0)
      continue;
    int r = bg_child_pwrite(check->file, bytes + sector, 512, at + sector);
    if (r < 0)
      return r;
  }
  return 0;
}

typedef bool Wanted(uint64_t refcount, uint64_t count);

static bool wanted_up(uint64_t refcount, uint64_t count)
{
  return count > refcount;
}

static bool wanted_down(uint64_t refcount, uint64_t count)
{
  return count < refcount;
}

/* Sets those refcounts of one block to their counts that `wanted` picks. */
static int adjust_block(Qcow2Check *check, uint64_t number, uint8_t *bytes, Wanted *wanted)
{
  const Qcow2Counts *counts = &check->counts;
  const uint8_t *disk;
  if (g_hash_table_contains(check->replaced, GSIZE_TO_POINTER(number)))
    return 0;
  int r = qcow2_disk_block(check, number, &disk);
  if (r < 0 || !disk || (bg_buffer_is_zero(disk, counts->block_size) && !qcow2_counts_any(counts, number)))
    return r;
  uint64_t base = number << counts->block_bits;
  uint64_t limit = MIN(UINT64_C(1) << counts->block_bits, qcow2_check_clusters(check) - base);
  memcpy(bytes, disk, check->q->cluster_size);
  for (uint64_t i = 0; i < limit; i++) {
    uint64_t count = qcow2_counts_get(counts, base + i);
    if (wanted(qcow2_refcount_get(disk, counts->order, i), count))
      qcow2_refcount_set(bytes, counts->order, i, count);
  }
  return write_block(check, number, disk, bytes);
}

static int adjust_blocks(Qcow2Check *check, Wanted *wanted)
{
  uint64_t clusters = qcow2_check_clusters(check);
  g_autofree uint8_t *bytes = g_try_malloc(check->q->cluster_size);
  int r = bytes ? 0 : -ENOMEM;
  for (uint64_t i = 0; i < check->reftable_entries && i << check->counts.block_bits < clusters && r == 0; i++) {
    r = adjust_block(check, i, bytes, wanted);
    if (r == 0)
      r = qcow2_check_progress(check, 0);
  }
  if (r == 0)
    r = check->file->ops->flush(check->file);
  qcow2_disk_forget(check);
  return r;
}

int qcow2_check_lower(Qcow2Check *check)
{
  return adjust_blocks(check, wanted_down);
}

/* ── blocks to be made ── */

static bool has_block(const Qcow2Check *check, uint64_t number)
{
  return number < check->reftable_entries && check->reftable[number] &&
         !g_hash_table_contains(check->replaced, GSIZE_TO_POINTER(number));
}

/* What is replaced names its old place no longer. */
static void forget_old_places(Qcow2Check *check, bool table)
{
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, check->replaced);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    if (!g_hash_table_contains(check->uncounted, key))
      qcow2_counts_drop(&check->counts, check->reftable[GPOINTER_TO_SIZE(key)] >> check->q->cluster_bits);
  uint64_t first = check->header.reftable_offset >> check->q->cluster_bits;
  for (uint64_t i = 0; table && i < check->header.reftable_clusters; i++)
    qcow2_counts_drop(&check->counts, first + i);
}

/* Numbers of blocks that are missing once `total` clusters from growth->first on are in use. */
static void find_missing(const Qcow2Check *check, Growth *growth, uint64_t total)
{
  uint64_t from = growth->first >> check->counts.block_bits;
  uint64_t to = total ? ((growth->first + total - 1) >> check->counts.block_bits) + 1 : from;
  g_array_set_size(growth->numbers, 0);
  for (uint64_t i = 0; i < MAX(check->counts.block_count, to); i++)
    if (!has_block(check, i) && (qcow2_counts_any(&check->counts, i) || (i >= from && i < to)))
      g_array_append_val(growth->numbers, i);
}

/* Blocks and table count themselves, too: more of them may need more of them. */
static bool plan(const Qcow2Check *check, bool move_table, Growth *growth)
{
  uint64_t total = 0, before;
  do {
    before = total;
    find_missing(check, growth, total);
    uint64_t count = growth->numbers->len;
    uint64_t last = count ? g_array_index(growth->numbers, uint64_t, count - 1) + 1 : 0;
    uint64_t entries = MAX(last, check->reftable_entries);
    growth->table_clusters = 0;
    if (move_table || entries > check->reftable_entries)
      growth->table_clusters = (entries * 8 + check->q->cluster_size - 1) >> check->q->cluster_bits;
    if (growth->table_clusters << check->q->cluster_bits > QCOW2_MAX_REFTABLE_BYTES)
      return false;
    total = count + growth->table_clusters;
  } while (total != before);
  return true;
}

static int count_growth(Qcow2Check *check, const Growth *growth)
{
  uint64_t excess;
  int r = 0;
  for (uint64_t i = 0; i < growth->numbers->len + growth->table_clusters && r == 0; i++)
    r = qcow2_counts_add(&check->counts, growth->first + i, 1, &excess);
  return r;
}

static int write_blocks(Qcow2Check *check, const Growth *growth)
{
  for (guint i = 0; i < growth->numbers->len; i++) {
    uint64_t number = g_array_index(growth->numbers, uint64_t, i);
    int r = bg_child_pwrite(check->file, check->counts.blocks[number], check->q->cluster_size,
                            (growth->first + i) << check->q->cluster_bits);
    if (r < 0)
      return r;
  }
  return 0;
}

/* The table as it shall be, and how many entries it has. */
static uint64_t *next_table(const Qcow2Check *check, const Growth *growth, uint64_t *entries)
{
  *entries = MAX(growth->table_clusters << check->q->cluster_bits >> 3, check->reftable_entries);
  uint64_t *table = g_try_new0(uint64_t, *entries);
  for (uint64_t i = 0; table && i < check->reftable_entries; i++)
    table[i] = g_hash_table_contains(check->replaced, GSIZE_TO_POINTER(i)) ? 0 : check->reftable[i];
  for (guint i = 0; table && i < growth->numbers->len; i++)
    table[g_array_index(growth->numbers, uint64_t, i)] = (growth->first + i) << check->q->cluster_bits;
  return table;
}

static int write_entry(Qcow2Check *check, uint64_t offset, uint64_t entry)
{
  entry = htobe64(entry);
  return bg_child_pwrite(check->file, &entry, sizeof entry, offset);
}

static int move_table(Qcow2Check *check, const Growth *growth, const uint64_t *table, uint64_t entries)
{
  uint64_t at = (growth->first + growth->numbers->len) << check->q->cluster_bits;
  int r = 0;
  for (uint64_t i = 0; i < entries && r == 0; i++)
    r = write_entry(check, at + i * 8, table[i]);
  if (r == 0)
    r = check->file->ops->flush(check->file);
  if (r < 0)
    return r;
  check->header.reftable_offset = at;
  check->header.reftable_clusters = growth->table_clusters;
  return qcow2_header_write(check->file, &check->header);
}

static int set_entries(Qcow2Check *check, const uint64_t *table, uint64_t entries)
{
  int r = 0;
  for (uint64_t i = 0; i < entries && r == 0; i++)
    if (table[i] != check->reftable[i])
      r = write_entry(check, check->header.reftable_offset + i * 8, table[i]);
  return r;
}

/* The blocks are durable already. */
static int publish(Qcow2Check *check, const Growth *growth)
{
  uint64_t entries;
  g_autofree uint64_t *table = next_table(check, growth, &entries);
  if (!table)
    return -ENOMEM;
  int r = growth->table_clusters ? move_table(check, growth, table, entries) : set_entries(check, table, entries);
  if (r == 0)
    r = check->file->ops->flush(check->file);
  if (r < 0)
    return r;
  g_free(check->reftable);
  check->reftable = g_steal_pointer(&table);
  check->reftable_entries = entries;
  g_hash_table_remove_all(check->replaced);
  qcow2_disk_forget(check);
  return 0;
}

/* Behind all that is in use, so far as that is known. */
static uint64_t first_unused(const Qcow2Check *check)
{
  uint64_t end = check->result.image_end_offset >> check->q->cluster_bits;
  return check->incomplete ? qcow2_check_clusters(check) : MAX(end, 1);
}

static int grow(Qcow2Check *check, Growth *growth)
{
  uint64_t table = check->header.reftable_offset >> check->q->cluster_bits;
  bool move = is_shared(check, table, check->header.reftable_clusters);
  bool replace = g_hash_table_size(check->replaced) > 0;
  growth->first = first_unused(check);
  if (check->incomplete && (move || replace)) {
    qcow2_check_tell(check, "Not mended: refcounts are not made anew while other metadata cannot be followed");
    return 0;
  }
  if (!plan(check, move, growth)) {
    qcow2_check_tell(check, "Not mended: the refcount table would be too large");
    return -EFBIG;
  }
  if (growth->numbers->len + growth->table_clusters == 0 && !replace)
    return 0;
  forget_old_places(check, growth->table_clusters > 0);
  int r = count_growth(check, growth);
  if (r == 0)
    r = write_blocks(check, growth);
  if (r == 0) /* blocks that stay may count what is new; flushes */
    r = adjust_blocks(check, wanted_up);
  return r == 0 ? publish(check, growth) : r;
}

int qcow2_check_raise(Qcow2Check *check)
{
  g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  Growth growth = {.numbers = numbers};
  int r = adjust_blocks(check, wanted_up);
  return r == 0 ? grow(check, &growth) : r;
}
