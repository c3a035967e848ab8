/* The marks of clusters that may be overwritten where they are, set by the counts; and offsets that no reader may believe. Taking a mark
 * off is safe at any time; one is set only where nobody else names the cluster. */
#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/check-pass.h"

#include <errno.h>
#include <inttypes.h>

static bool is_alone(const Qcow2Check *check, uint64_t offset)
{
  return qcow2_counts_get(&check->counts, offset >> check->q->cluster_bits) == 1;
}

static uint64_t with_flag(const Qcow2Check *check, uint64_t entry)
{
  if (!is_alone(check, qcow2_entry_offset(entry)))
    return entry & ~QCOW2_COPIED;
  return check->incomplete ? entry : entry | QCOW2_COPIED;
}

static uint64_t mended_entry(const Qcow2Check *check, uint64_t entry, bool active)
{
  if (check->q->external) /* no refcount for the flag to agree with */
    return entry;
  if (entry & QCOW2_COMPRESSED)
    return entry & ~QCOW2_COPIED;
  uint64_t offset = qcow2_entry_offset(entry);
  if (offset & (check->q->cluster_size - 1) && entry & QCOW2_ZERO && !check->q->extended && check->fix == BG_FIX_ALL)
    return QCOW2_ZERO;
  return offset && active ? with_flag(check, entry) : entry;
}

/* The sectors of a cluster that were changed. */
static int write_changed(Qcow2Check *check, uint64_t offset, const uint64_t *old, const uint64_t *new, size_t length)
{
  for (size_t at = 0; at < length; at += 512) {
    size_t here = MIN(length - at, 512);
    if (memcmp((const uint8_t *)old + at, (const uint8_t *)new + at, here) == 0)
      continue;
    int r = bg_child_pwrite(check->file, (const uint8_t *)new + at, here, offset + at);
    if (r < 0)
      return r;
  }
  return 0;
}

static int mend_table(Qcow2Check *check, uint64_t cluster, uint64_t *old, uint64_t *new)
{
  uint64_t active, references = qcow2_check_table_references(check, cluster, &active);
  uint64_t size = check->q->cluster_size, offset = cluster << check->q->cluster_bits;
  if (qcow2_counts_get(&check->counts, cluster) != references)
    return 0; /* something else lies there, too */
  int r = bg_child_pread(check->file, old, size, offset);
  if (r < 0)
    return r;
  memcpy(new, old, size); /* the words of subclusters stay */
  unsigned words = check->q->extended ? 2 : 1;
  for (uint64_t i = 0; i < check->q->l2_entries * words; i += words)
    new[i] = htobe64(mended_entry(check, be64toh(old[i]), active));
  return write_changed(check, offset, old, new, size);
}

static int mend_tables(Qcow2Check *check)
{
  g_autoptr(GArray) sorted = qcow2_check_sorted_tables(check);
  g_autofree uint64_t *old = g_try_malloc(check->q->cluster_size), *new = g_try_malloc(check->q->cluster_size);
  int r = old && new ? 0 : -ENOMEM;
  for (guint i = 0; i < sorted->len && r == 0; i++) {
    r = mend_table(check, g_array_index(sorted, uint64_t, i), old, new);
    if (r == 0)
      r = qcow2_check_progress(check, 0);
  }
  return r;
}

static bool l1_is_alone(const Qcow2Check *check)
{
  uint64_t end = check->header.l1_offset + (uint64_t)check->header.l1_entries * 8;
  for (uint64_t offset = check->header.l1_offset; offset < end; offset += check->q->cluster_size)
    if (!is_alone(check, offset))
      return false;
  return true;
}

static int mend_l1_piece(Qcow2Check *check, uint64_t offset, uint64_t *old, uint64_t *new, size_t length)
{
  int r = bg_child_pread(check->file, old, length, offset);
  for (size_t i = 0; i < length / 8 && r == 0; i++) {
    uint64_t entry = be64toh(old[i]);
    new[i] = htobe64(qcow2_entry_offset(entry) ? with_flag(check, entry) : entry);
  }
  return r == 0 ? write_changed(check, offset, old, new, length) : r;
}

static int mend_l1(Qcow2Check *check)
{
  size_t length = (size_t)check->header.l1_entries * 8, size = check->q->cluster_size;
  if (length == 0 || !l1_is_alone(check))
    return 0;
  g_autofree uint64_t *old = g_try_malloc(size), *new = g_try_malloc(size);
  int r = old && new ? 0 : -ENOMEM;
  for (size_t at = 0; at < length && r == 0; at += size)
    r = mend_l1_piece(check, check->header.l1_offset + at, old, new, MIN(size, length - at));
  return r;
}

int qcow2_check_flags(Qcow2Check *check)
{
  int r = mend_l1(check);
  if (r == 0)
    r = mend_tables(check);
  return r == 0 ? check->file->ops->flush(check->file) : r;
}
