/* Zero and discard: L2 entries change, no data is written. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>

/* What becomes of an entry. */
typedef struct Rule {
  bool discard; /* else zero */
  bool unmap;
  bool zero_flag; /* the format has zero clusters (version 3) */
  bool backing;   /* a hole would show the backing disk */
} Rule;

static uint64_t apply_zero(const Rule *rule, uint64_t entry)
{
  switch (qcow2_entry_kind(entry)) {
  case QCOW2_UNALLOCATED:
    return rule->backing ? QCOW2_ZERO : entry;
  case QCOW2_ZERO_PLAIN:
    return entry;
  case QCOW2_ZERO_ALLOCATED:
    return rule->unmap ? QCOW2_ZERO : entry;
  case QCOW2_NORMAL:
    if (!rule->zero_flag)
      return 0;
    return rule->unmap ? QCOW2_ZERO : entry | QCOW2_ZERO;
  default:
    return rule->zero_flag ? QCOW2_ZERO : 0;
  }
}

static uint64_t apply_discard(const Rule *rule, uint64_t entry)
{
  Qcow2Kind kind = qcow2_entry_kind(entry);
  if (kind == QCOW2_UNALLOCATED || kind == QCOW2_ZERO_PLAIN)
    return entry;
  return rule->backing && rule->zero_flag ? QCOW2_ZERO : 0;
}

static uint64_t apply(const Rule *rule, uint64_t entry)
{
  return (rule->discard ? apply_discard : apply_zero)(rule, entry);
}

/* Changes what the rule changes among `count` entries; `table` may be written. */
static void apply_to_table(Qcow2 *q, Qcow2Table *table, uint64_t index, uint64_t count, const Rule *rule)
{
  for (uint64_t i = index; i < index + count; i++) {
    uint64_t old = qcow2_l2_entry(table, i), new = apply(rule, old);
    if (new == old)
      continue;
    if (!qcow2_entry_offset(new) || new &QCOW2_COMPRESSED)
      qcow2_entry_free(q, old, rule->unmap);
    qcow2_l2_set(q, table, i, new);
  }
}

/* Whether the rule changes anything there; -EIO where an entry is false. */
static int changes_table(Qcow2 *q, const Qcow2Table *table, uint64_t index, uint64_t count, const Rule *rule)
{
  bool changes = false;
  for (uint64_t i = index; i < index + count; i++) {
    uint64_t entry = table ? qcow2_l2_entry(table, i) : 0;
    int r = qcow2_entry_check(q, entry);
    if (r < 0)
      return r;
    changes |= apply(rule, entry) != entry;
    if (!table)
      break; /* all are alike */
  }
  return changes;
}

/* `lock` held exclusive; the clusters are of one L2 table. */
static int change_table(Qcow2 *q, uint64_t offset, uint64_t count, const Rule *rule)
{
  Qcow2Table *table;
  uint64_t index = qcow2_l2_index(q, offset);
  int r = atomic_load(&q->damaged) ? -EIO : qcow2_l2_get(q, offset, &table);
  if (r == 0)
    r = changes_table(q, table, index, count, rule);
  if (r <= 0)
    return r;
  r = qcow2_l2_own(q, offset, &table);
  if (r == 0)
    apply_to_table(q, table, index, count, rule);
  return r;
}

/* The end of the part of [offset, end) that one L2 table maps. */
static uint64_t table_end(const Qcow2 *q, uint64_t offset, uint64_t end)
{
  uint64_t span = UINT64_C(1) << (q->cluster_bits + q->l2_bits);
  return MIN(end, (offset & ~(span - 1)) + span);
}

/* The first byte in [offset, end) under an L1 entry that is set. */
static uint64_t skip_holes(Qcow2 *q, uint64_t offset, uint64_t end)
{
  pthread_rwlock_rdlock(&q->lock);
  while (offset < end && qcow2_entry_offset(q->l1[qcow2_l1_index(q, offset)]) == 0)
    offset = table_end(q, offset, end);
  pthread_rwlock_unlock(&q->lock);
  return offset;
}

static int change_range(Qcow2 *q, uint64_t offset, uint64_t end, const Rule *rule)
{
  bool fills_holes = apply(rule, 0) != 0;
  while (offset < end) {
    if (!fills_holes && (offset = skip_holes(q, offset, end)) >= end)
      break;
    uint64_t next = table_end(q, offset, end);
    int r = qcow2_relieve(q);
    if (r == 0)
      r = qcow2_l2_prefetch(q, offset);
    if (r == 0) {
      pthread_rwlock_wrlock(&q->lock);
      r = change_table(q, offset, (next - offset + q->cluster_size - 1) >> q->cluster_bits, rule);
      pthread_rwlock_unlock(&q->lock);
    }
    if (r < 0)
      return r;
    offset = next;
  }
  return 0;
}

/* Whether a cluster of the range has space that the rule would have to give up: 1, 0 or -errno. */
static int is_allocated(Qcow2 *q, uint64_t offset, uint64_t end)
{
  static const Rule give_up = {.discard = true};
  while ((offset = skip_holes(q, offset, end)) < end) {
    Qcow2Table *table;
    uint64_t next = table_end(q, offset, end);
    int r = qcow2_l2_prefetch(q, offset);
    if (r < 0)
      return r;
    pthread_rwlock_wrlock(&q->lock);
    r = qcow2_l2_get(q, offset, &table);
    if (r == 0)
      r = changes_table(q, table, qcow2_l2_index(q, offset), (next - offset + q->cluster_size - 1) >> q->cluster_bits,
                        &give_up);
    pthread_rwlock_unlock(&q->lock);
    if (r)
      return r;
    offset = next;
  }
  return 0;
}

int qcow2_zero_range(Qcow2 *q, uint64_t offset, uint64_t length, BgZeroFlags flags, bool backing)
{
  Rule rule = {.unmap = flags & BG_ZERO_MAY_UNMAP, .zero_flag = q->version >= 3, .backing = backing};
  if (!rule.zero_flag && backing)
    return -ENOTSUP;
  if (!rule.zero_flag && !rule.unmap) {
    int r = is_allocated(q, offset, offset + length);
    return r > 0 ? -ENOTSUP : r;
  }
  return change_range(q, offset, offset + length, &rule);
}

int qcow2_zero(void *instance, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  Qcow2 *q = instance;
  bool backing = q->host->has_child(q->host, "backing");
  return qcow2_damage_report(q, qcow2_zero_range(q, offset, length, flags, backing));
}

int qcow2_discard(void *instance, uint64_t offset, uint64_t length)
{
  Qcow2 *q = instance;
  Rule rule = {.discard = true, .unmap = true, .zero_flag = q->version >= 3};
  rule.backing = q->host->has_child(q->host, "backing");
  if (rule.backing && !rule.zero_flag) /* would bring back what the backing disk has there */
    return -ENOTSUP;
  return qcow2_damage_report(q, change_range(q, offset, offset + length, &rule));
}
