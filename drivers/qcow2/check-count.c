#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/check-pass.h"

#include <errno.h>
#include <inttypes.h>

/* A refcount table has no more entries. */
#define BLOCKS_MAX (QCOW2_MAX_REFTABLE_BYTES / 8)
/* Enough for 32 TiB in clusters of 64 KiB. */
#define BYTES_MAX (UINT64_C(1) << 30)

void qcow2_counts_init(Qcow2Counts *counts, unsigned cluster_bits, unsigned order)
{
  *counts =
      (Qcow2Counts){.order = order, .block_bits = cluster_bits + 3 - order, .block_size = (size_t)1 << cluster_bits};
}

void qcow2_counts_clear(Qcow2Counts *counts)
{
  for (uint64_t i = 0; i < counts->block_count; i++)
    g_free(counts->blocks[i]);
  g_clear_pointer(&counts->blocks, g_free);
  counts->block_count = counts->bytes = counts->clusters = 0;
}

static uint64_t index_of(const Qcow2Counts *counts, uint64_t cluster)
{
  return cluster & ((UINT64_C(1) << counts->block_bits) - 1);
}

static uint8_t *find_block(const Qcow2Counts *counts, uint64_t cluster)
{
  uint64_t number = cluster >> counts->block_bits;
  return number < counts->block_count ? counts->blocks[number] : NULL;
}

uint64_t qcow2_counts_get(const Qcow2Counts *counts, uint64_t cluster)
{
  const uint8_t *block = find_block(counts, cluster);
  return block ? qcow2_refcount_get(block, counts->order, index_of(counts, cluster)) : 0;
}

static int ensure_block(Qcow2Counts *counts, uint64_t number)
{
  if (number >= BLOCKS_MAX)
    return -ERANGE;
  if (number >= counts->block_count) {
    uint64_t room = MIN(MAX(number + 1, counts->block_count * 2), BLOCKS_MAX);
    uint8_t **blocks = g_try_realloc_n(counts->blocks, room, sizeof *blocks);
    if (!blocks)
      return -ENOMEM;
    memset(blocks + counts->block_count, 0, (room - counts->block_count) * sizeof *blocks);
    counts->blocks = blocks;
    counts->block_count = room;
  }
  if (counts->blocks[number])
    return 0;
  if (counts->bytes + counts->block_size > BYTES_MAX)
    return -E2BIG;
  counts->blocks[number] = g_try_malloc0(counts->block_size);
  if (!counts->blocks[number])
    return -ENOMEM;
  counts->bytes += counts->block_size;
  return 0;
}

int qcow2_counts_add(Qcow2Counts *counts, uint64_t cluster, uint64_t times, uint64_t *excess)
{
  uint8_t *block = find_block(counts, cluster);
  if (!block) {
    int r = ensure_block(counts, cluster >> counts->block_bits);
    if (r < 0)
      return r;
    block = find_block(counts, cluster);
  }
  uint64_t max = counts->order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << counts->order)) - 1;
  uint64_t count = qcow2_refcount_get(block, counts->order, index_of(counts, cluster));
  uint64_t more = MIN(times, max - count);
  qcow2_refcount_set(block, counts->order, index_of(counts, cluster), count + more);
  counts->clusters = MAX(counts->clusters, cluster + 1);
  *excess = times - more;
  return 0;
}

void qcow2_counts_drop(Qcow2Counts *counts, uint64_t cluster)
{
  uint64_t count = qcow2_counts_get(counts, cluster);
  if (count)
    qcow2_refcount_set(find_block(counts, cluster), counts->order, index_of(counts, cluster), count - 1);
}

bool qcow2_counts_any(const Qcow2Counts *counts, uint64_t number)
{
  if (number >= counts->block_count || !counts->blocks[number])
    return false;
  const uint8_t *block = counts->blocks[number];
  return block[0] || memcmp(block, block + 1, counts->block_size - 1) != 0;
}

/* ── references ── */

static int refer_cluster(Qcow2Check *check, const char *what, uint64_t cluster, uint64_t times)
{
  uint64_t excess;
  int r = qcow2_counts_add(&check->counts, cluster, times, &excess);
  if (r == 0 && excess)
    qcow2_check_found(check, QCOW2_STRUCTURE, excess,
                      "More references name the cluster at 0x%" PRIx64 " (%s) than a refcount of %u bits can count",
                      cluster << check->q->cluster_bits, what, 1u << check->counts.order);
  if (r != -ERANGE)
    return r;
  qcow2_check_found(check, QCOW2_STRUCTURE, times, "A %s lies at 0x%" PRIx64 ", beyond what refcounts can reach", what,
                    cluster << check->q->cluster_bits);
  check->incomplete = true;
  return 0;
}

int qcow2_check_refer(Qcow2Check *check, const char *what, uint64_t offset, uint64_t length, uint64_t times,
                      bool *inside)
{
  unsigned bits = check->q->cluster_bits;
  /* The file may end within the last cluster. */
  bool fits = offset <= check->file_size + check->q->cluster_size && length <= UINT64_MAX - offset &&
              offset + length < check->file_size + check->q->cluster_size;
  if (inside)
    *inside = fits;
  if (length == 0)
    return 0;
  if (!fits) {
    qcow2_check_found(check, QCOW2_STRUCTURE, times, "A %s at 0x%" PRIx64 " reaches past the end of the file", what,
                      offset);
    return 0;
  }
  for (uint64_t cluster = offset >> bits; cluster <= (offset + length - 1) >> bits; cluster++) {
    int r = refer_cluster(check, what, cluster, times);
    if (r < 0)
      return r;
  }
  return 0;
}

int qcow2_check_refer_metadata(Qcow2Check *check, const char *what, uint64_t offset, uint64_t length, bool *inside)
{
  bool fits;
  int r = qcow2_check_refer(check, what, offset, length, 1, &fits);
  if (r == 0 && fits && length) {
    Qcow2Range range = {offset >> check->q->cluster_bits, ((offset + length - 1) >> check->q->cluster_bits) + 1};
    g_array_append_val(check->metadata, range);
  }
  if (inside)
    *inside = fits;
  return r;
}
