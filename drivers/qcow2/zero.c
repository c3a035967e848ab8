/* Zero and discard: L2 entries change, no data is written. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>

/* What becomes of an entry. */
typedef struct Rule {
  bool discard; /* else zero */
  bool unmap;
  bool keep;      /* the place in the file, where it is the cluster's own */
  bool punch;     /* what is kept */
  bool zero_flag; /* the format has zero clusters (version 3) */
  bool backing;   /* a hole would show the backing disk */
} Rule;

/* A compressed cluster has no subclusters: only the whole can change. */
static Qcow2Entry apply_compressed(const Qcow2 *q, const Rule *rule, Qcow2Entry entry, uint32_t subs)
{
  bool flag = rule->zero_flag && (rule->backing || !rule->discard);
  if (subs != qcow2_subclusters(q, 0, q->cluster_size))
    return entry;
  return (Qcow2Entry){.bitmap = flag ? (uint64_t)subs << 32 : 0};
}

static bool keeps(const Qcow2 *q, const Rule *rule, Qcow2Entry entry)
{
  return q->external || (rule->keep && entry.word & QCOW2_COPIED);
}

static void apply_zero(const Qcow2 *q, const Rule *rule, Qcow2Entry *entry, uint64_t subs)
{
  uint64_t allocated = (uint32_t)entry->bitmap;
  if (qcow2_zeros_below(q))
    subs &= ~allocated; /* zeroed where it is */
  if (!rule->backing)
    subs &= allocated | entry->bitmap >> 32; /* holes stay holes */
  entry->bitmap &= ~subs;
  if (rule->zero_flag)
    entry->bitmap |= subs << 32;
  if ((rule->unmap || !rule->zero_flag) && !keeps(q, rule, *entry) && !(uint32_t)entry->bitmap)
    entry->word = 0;
}

static void apply_discard(const Qcow2 *q, const Rule *rule, Qcow2Entry *entry, uint64_t subs)
{
  if (q->external) /* what is allocated was discarded where it lies */
    subs &= ~(uint32_t)entry->bitmap;
  /* as QEMU has it: zeros also where the backing disk was seen so far */
  bool covers = rule->backing && rule->zero_flag;
  if (!covers)
    subs &= (uint32_t)entry->bitmap;
  entry->bitmap &= ~subs;
  if (covers || keeps(q, rule, *entry))
    entry->bitmap |= subs << 32;
  if (!(uint32_t)entry->bitmap && !keeps(q, rule, *entry))
    entry->word = 0;
}

/* What becomes of an entry, of which the subclusters `subs` are meant. */
static Qcow2Entry apply(const Qcow2 *q, const Rule *rule, Qcow2Entry entry, uint32_t subs)
{
  if (entry.word & QCOW2_COMPRESSED)
    return apply_compressed(q, rule, entry, subs);
  (rule->discard ? apply_discard : apply_zero)(q, rule, &entry, subs);
  return entry;
}

static bool is_changed(Qcow2Entry old, Qcow2Entry new)
{
  return old.word != new.word || old.bitmap != new.bitmap;
}

/* The subclusters of the cluster at `cluster` that [offset, end) touches. */
static uint32_t touched(const Qcow2 *q, uint64_t cluster, uint64_t offset, uint64_t end)
{
  return qcow2_subclusters(q, MAX(cluster, offset), MIN(cluster + q->cluster_size, end));
}

/* Changes what the rule changes in [offset, end); `table` may be written. */
static void apply_to_table(Qcow2 *q, Qcow2Table *table, uint64_t offset, uint64_t end, const Rule *rule)
{
  for (uint64_t at = offset & ~(q->cluster_size - 1); at < end; at += q->cluster_size) {
    uint64_t index = qcow2_l2_index(q, at);
    Qcow2Entry old = qcow2_l2_entry(q, table, index), new = apply(q, rule, old, touched(q, at, offset, end));
    if (!is_changed(old, new))
      continue;
    if (!new.word)
      qcow2_entry_free(q, old, rule->unmap);
    qcow2_l2_set(q, table, index, new);
  }
}

/* Whether the rule changes anything there; -EIO where an entry is false. */
static int changes_table(Qcow2 *q, const Qcow2Table *table, uint64_t offset, uint64_t end, const Rule *rule)
{
  bool changes = false;
  for (uint64_t at = offset & ~(q->cluster_size - 1); at < end; at += q->cluster_size) {
    Qcow2Entry entry = {0};
    if (table)
      entry = qcow2_l2_entry(q, table, qcow2_l2_index(q, at));
    int r = qcow2_entry_check(q, entry, at);
    if (r < 0)
      return r;
    changes |= is_changed(entry, apply(q, rule, entry, touched(q, at, offset, end)));
    if (!table)
      break; /* all are alike */
  }
  return changes;
}

/* `lock` held exclusive; the range is of one L2 table. */
static int change_table(Qcow2 *q, uint64_t offset, uint64_t end, const Rule *rule)
{
  Qcow2Table *table;
  int r = atomic_load(&q->damaged) ? -EIO : qcow2_l2_get(q, &q->active, offset, &table);
  if (r == 0)
    r = changes_table(q, table, offset, end, rule);
  if (r <= 0)
    return r;
  r = qcow2_l2_own(q, offset, &table);
  if (r == 0)
    apply_to_table(q, table, offset, end, rule);
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
  while (offset < end && qcow2_entry_offset(q->active.l1[qcow2_l1_index(q, offset)]) == 0)
    offset = table_end(q, offset, end);
  pthread_rwlock_unlock(&q->lock);
  return offset;
}

static int change_range(Qcow2 *q, uint64_t offset, uint64_t end, const Rule *rule)
{
  bool fills_holes = apply(q, rule, (Qcow2Entry){0}, 1).bitmap != 0;
  while (offset < end) {
    if (!fills_holes && (offset = skip_holes(q, offset, end)) >= end)
      break;
    uint64_t next = table_end(q, offset, end);
    int r = qcow2_relieve(q);
    if (r == 0)
      r = qcow2_l2_prefetch(q, offset);
    if (r == 0) {
      pthread_rwlock_wrlock(&q->lock);
      r = change_table(q, offset, next, rule);
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
    r = qcow2_l2_get(q, &q->active, offset, &table);
    if (r == 0)
      r = changes_table(q, table, offset, next, &give_up);
    pthread_rwlock_unlock(&q->lock);
    if (r)
      return r;
    offset = next;
  }
  return 0;
}

/* -ENOTSUP where the cluster at the range's end `at` is compressed and a part of it would have to be zeros. */
static int check_end(Qcow2 *q, uint64_t at)
{
  Qcow2Entry entry = {0};
  int r = at & (q->cluster_size - 1) ? qcow2_l2_look_up(q, &q->active, at, &entry) : 0;
  return r == 0 && entry.word & QCOW2_COMPRESSED ? -ENOTSUP : r;
}

/* Zeroed clusters that have kept their place need not have space there. The core holds the range, so nobody writes there meanwhile; what
 * is read meanwhile are zeros, or what was there. Only a hint. */
static void punch_kept(Qcow2 *q, uint64_t offset, uint64_t end)
{
  while (offset < end) {
    BgExtent extent;
    if (qcow2_map(q, offset, end - offset, &extent) < 0)
      return;
    if (extent.kind == BG_EXTENT_ZERO && extent.child)
      q->file->ops->discard(q->file, extent.offset, extent.length);
    offset += extent.length;
  }
}

/* Of the clusters at both ends only a part may be meant. */
static int change_held(Qcow2 *q, uint64_t offset, uint64_t end, const Rule *rule)
{
  int r = 0;
  qcow2_hold(q, offset, end - 1);
  if (q->extended && !rule->discard)
    r = check_end(q, offset);
  if (r == 0 && q->extended && !rule->discard)
    r = check_end(q, end);
  if (r == 0)
    r = change_range(q, offset, end, rule);
  if (r == 0 && rule->keep && rule->unmap && rule->punch && !q->external)
    punch_kept(q, offset, end);
  qcow2_let_go(q, offset, end - 1);
  return r;
}

static void set_keeping(Qcow2 *q, Rule *rule)
{
  pthread_rwlock_rdlock(&q->lock);
  rule->keep = q->options->discard_no_unref;
  rule->punch = q->options->pass_discard_request;
  pthread_rwlock_unlock(&q->lock);
}

int qcow2_zero_range(Qcow2 *q, uint64_t offset, uint64_t length, BgZeroFlags flags, bool backing)
{
  Rule rule = {.unmap = flags & BG_ZERO_MAY_UNMAP, .zero_flag = q->version >= 3, .backing = backing};
  set_keeping(q, &rule);
  if (!rule.zero_flag && backing)
    return -ENOTSUP;
  if (!rule.zero_flag && !rule.unmap) {
    int r = is_allocated(q, offset, offset + length);
    return r > 0 ? -ENOTSUP : r;
  }
  return change_held(q, offset, offset + length, &rule);
}

/* Zeros or discards what lies in the data file, where it stays allocated: so the file goes on reading as the disk if it did. */
static int change_data(Qcow2 *q, uint64_t offset, uint64_t length, bool discard, BgZeroFlags flags)
{
  for (uint64_t end = offset + length; offset < end;) {
    BgExtent extent;
    int r = qcow2_map(q, offset, end - offset, &extent);
    if (r == 0 && extent.kind == BG_EXTENT_DATA && !(extent.flags & BG_EXTENT_IN_PLACE))
      r = -EIO;
    if (r == 0 && extent.kind == BG_EXTENT_DATA)
      r = discard ? q->data->ops->discard(q->data, extent.offset, extent.length)
                  : q->data->ops->zero(q->data, extent.offset, extent.length, flags);
    if (r < 0)
      return r;
    offset += extent.length;
  }
  return 0;
}

int qcow2_zero(void *instance, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  Qcow2 *q = instance;
  bool backing = q->host->has_child(q->host, "backing");
  int r = qcow2_zeros_below(q) ? change_data(q, offset, length, false, flags) : 0;
  if (r == 0)
    r = qcow2_zero_range(q, offset, length, flags, backing);
  return qcow2_damage_report(q, r);
}

int qcow2_discard(void *instance, uint64_t offset, uint64_t length)
{
  Qcow2 *q = instance;
  Rule rule = {.discard = true, .unmap = true, .zero_flag = q->version >= 3};
  set_keeping(q, &rule);
  rule.backing = q->host->has_child(q->host, "backing");
  if (q->external && q->crypto) /* would read as noise afterwards */
    return -ENOTSUP;
  if (rule.backing && !rule.zero_flag) /* would bring back what the backing disk has there */
    return -ENOTSUP;
  int r = q->external ? change_data(q, offset, length, true, BG_ZERO_NONE) : 0;
  if (r == 0 && (rule.backing || !q->external))
    r = change_held(q, offset, offset + length, &rule);
  return qcow2_damage_report(q, r);
}
