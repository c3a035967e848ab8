/* Taking, applying and deleting internal snapshots: who names what changes, the data stays where it is. */
#include "drivers/qcow2/transaction.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/time.h>

/* Frees of the last hand-out dirty refcounts again; more rounds than these are never needed. */
enum { CLEAN_ROUNDS = 8, NAME_MAX_BYTES = 255, ID_BYTES = 24 };

/* ── what an L1 table names, all the way down ── */

typedef int Count(Qcow2Transaction *t, uint64_t cluster);

static int count_entry(Qcow2Transaction *t, Qcow2Entry entry, Count *count)
{
  Qcow2 *q = t->q;
  uint64_t offset, length;
  if (!(entry.word & QCOW2_COMPRESSED))
    return qcow2_entry_has_space(q, entry) ? count(t, qcow2_entry_offset(entry.word) >> q->cluster_bits) : 0;
  qcow2_entry_compressed(q, entry.word, &offset, &length);
  int r = 0;
  for (uint64_t i = offset >> q->cluster_bits; r == 0 && i <= (offset + length - 1) >> q->cluster_bits; i++)
    r = count(t, i);
  return r;
}

/* The disk's byte that an entry maps first. */
static uint64_t guest_of(const Qcow2 *q, uint64_t index, uint64_t entry)
{
  return ((index << q->l2_bits) + entry) << q->cluster_bits;
}

static int count_table(Qcow2Transaction *t, uint64_t index, uint64_t offset, Count *count)
{
  Qcow2 *q = t->q;
  uint8_t *data;
  int r = qcow2_read_cluster(q, "L2 table", offset, &data);
  if (r < 0)
    return r;
  const Qcow2Table table = {.offset = offset, .data = data};
  r = count(t, offset >> q->cluster_bits);
  for (uint64_t i = 0; r == 0 && i < q->l2_entries; i++) {
    Qcow2Entry entry = qcow2_l2_entry(q, &table, i);
    r = qcow2_entry_check(q, entry, guest_of(q, index, i));
    if (r == 0)
      r = count_entry(t, entry, count);
  }
  g_free(data);
  return r;
}

static int count_tree(Qcow2Transaction *t, const Qcow2Tables *tables, Count *count)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
  int r = 0;
  for (uint64_t i = 0; r == 0 && i < tables->entries; i++) {
    uint64_t offset = qcow2_entry_offset(tables->l1[i]);
    if (offset && !g_hash_table_add(seen, GSIZE_TO_POINTER(offset >> t->q->cluster_bits)))
      r = qcow2_damage(t->q, "An L1 table names the L2 table at 0x%" PRIx64 " twice", offset);
    else if (offset)
      r = count_table(t, i, offset, count);
  }
  return r;
}

static int lower_area(Qcow2Transaction *t, uint64_t offset, uint64_t bytes)
{
  const Qcow2 *q = t->q;
  int r = 0;
  for (uint64_t i = 0; r == 0 && i < (bytes + q->cluster_size - 1) >> q->cluster_bits; i++)
    r = qcow2_transaction_lower(t, (offset >> q->cluster_bits) + i);
  return r;
}

/* ── the marks of clusters that may be overwritten where they are, by the new refcounts ── */

static int mark_entry(Qcow2Transaction *t, Qcow2Table *table, uint64_t index, bool *changed)
{
  Qcow2 *q = t->q;
  uint64_t refcount;
  Qcow2Entry entry = qcow2_l2_entry(q, table, index);
  if (entry.word & QCOW2_COMPRESSED || !qcow2_entry_has_space(q, entry))
    return 0;
  int r = qcow2_transaction_get(t, qcow2_entry_offset(entry.word) >> q->cluster_bits, &refcount);
  uint64_t word = (entry.word & ~QCOW2_COPIED) | (refcount == 1 ? QCOW2_COPIED : 0);
  if (r < 0 || word == entry.word)
    return r;
  entry.word = word;
  qcow2_l2_put(q, table, index, entry);
  *changed = true;
  return 0;
}

/* A table that has to change is written anew: the one that is there may be a snapshot's, too. */
static int mark_table(Qcow2Transaction *t, uint64_t *offset)
{
  Qcow2 *q = t->q;
  bool changed = false;
  uint8_t *data;
  int r = qcow2_read_cluster(q, "L2 table", *offset, &data);
  if (r < 0)
    return r;
  Qcow2Table table = {.offset = *offset, .data = data};
  for (uint64_t i = 0; r == 0 && i < q->l2_entries; i++)
    r = mark_entry(t, &table, i, &changed);
  if (r == 0 && changed)
    r = qcow2_transaction_lower(t, *offset >> q->cluster_bits);
  if (r == 0 && changed)
    r = qcow2_transaction_put(t, data, q->cluster_size, offset);
  g_free(data);
  return r;
}

static int mark_tree(Qcow2Transaction *t, const Qcow2Tables *tables)
{
  for (uint64_t i = 0; i < tables->entries; i++) {
    uint64_t offset = qcow2_entry_offset(tables->l1[i]), refcount;
    int r = offset ? mark_table(t, &offset) : 0;
    if (r == 0 && offset)
      r = qcow2_transaction_get(t, offset >> t->q->cluster_bits, &refcount);
    if (r < 0)
      return r;
    tables->l1[i] = offset && refcount == 1 ? offset | QCOW2_COPIED : offset;
  }
  return 0;
}

/* ── the parts of every operation ── */

/* What the image is to be. */
typedef struct Plan {
  Qcow2Transaction t;
  Qcow2Tables tables; /* of the disk, owned */
  Qcow2State state;
  GHashTable *inactive; /* as Qcow2.inactive will be */
} Plan;

static void plan_clear(Plan *plan)
{
  qcow2_transaction_clear(&plan->t);
  g_free(plan->tables.l1);
  g_clear_pointer(&plan->inactive, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Plan, plan_clear)

static void plan_init(Plan *plan, Qcow2 *q)
{
  *plan = (Plan){.state = {.size = atomic_load(&q->size),
                           .snapshots_offset = q->snapshots_offset,
                           .snapshot_count = q->snapshots.count}};
  qcow2_transaction_begin(&plan->t, q);
}

/* The disk's new L1 table begins as a copy of these. */
static int plan_tables(Plan *plan, const Qcow2Tables *from, uint64_t entries)
{
  entries = MAX(entries, 1);
  if (entries * 8 > QCOW2_MAX_L1_BYTES)
    return -EFBIG;
  plan->tables = (Qcow2Tables){g_try_new0(uint64_t, entries), entries};
  if (!plan->tables.l1)
    return -ENOMEM;
  if (from->entries) /* an empty disk has none */
    memcpy(plan->tables.l1, from->l1, MIN(entries, from->entries) * 8);
  return 0;
}

static uint64_t entries_for(const Qcow2 *q, uint64_t size)
{
  return qcow2_l1_entries_for(size, q->cluster_bits + q->l2_bits);
}

/* Writes what the snapshot table is to be; the old one is free then. */
static int plan_snapshots(Plan *plan, const GByteArray *table, size_t count)
{
  const Qcow2 *q = plan->t.q;
  if (table->len > QCOW2_MAX_SNAPSHOT_BYTES)
    return -EFBIG;
  int r = lower_area(&plan->t, q->snapshots_offset, q->snapshots.bytes);
  plan->state.snapshots_offset = 0;
  plan->state.snapshot_count = count;
  return r == 0 && count ? qcow2_transaction_put(&plan->t, table->data, table->len, &plan->state.snapshots_offset) : r;
}

/* The marks by the new refcounts, then the L1 table. */
static int plan_finish(Plan *plan)
{
  int r = mark_tree(&plan->t, &plan->tables);
  if (r < 0)
    return r;
  g_autofree uint64_t *bytes = g_try_new(uint64_t, plan->tables.entries);
  for (uint64_t i = 0; bytes && i < plan->tables.entries; i++)
    bytes[i] = htobe64(plan->tables.l1[i]);
  plan->state.l1_entries = plan->tables.entries;
  return bytes ? qcow2_transaction_put(&plan->t, bytes, plan->tables.entries * 8, &plan->state.l1_offset) : -ENOMEM;
}

static void adopt(Plan *plan, Qcow2Snapshots *snapshots)
{
  Qcow2 *q = plan->t.q;
  pthread_rwlock_wrlock(&q->lock);
  Qcow2Tables tables = q->active;
  Qcow2Snapshots old = q->snapshots;
  GHashTable *inactive = q->inactive;
  q->active = plan->tables;
  q->l1_offset = plan->state.l1_offset;
  q->snapshots = *snapshots;
  q->snapshots_offset = plan->state.snapshots_offset;
  q->snapshots_version++;
  q->inactive = plan->inactive;
  qcow2_cache_clear(&q->l2);
  qcow2_overlap_rebuild(q);
  pthread_rwlock_unlock(&q->lock);
  atomic_store(&q->size, plan->state.size);
  plan->tables = tables;
  plan->inactive = inactive;
  *snapshots = old;
}

/* Reads what the new table says before anything on disk says so, for afterwards nothing may fail. */
static int plan_commit(Plan *plan)
{
  Qcow2 *q = plan->t.q;
  g_auto(Qcow2Snapshots) snapshots = {0};
  Qcow2Header header = {.cluster_bits = q->cluster_bits,
                        .snapshots_offset = plan->state.snapshots_offset,
                        .snapshot_count = plan->state.snapshot_count};
  g_autoptr(GError) error = NULL;
  if (!qcow2_snapshots_read(q->file, &header, &snapshots, &error) ||
      (q->inactive && !qcow2_inactive_read(q, &snapshots, &plan->inactive, &error)))
    return -bg_error_errno(error);
  int r = qcow2_transaction_commit(&plan->t, &plan->state);
  if (r < 0)
    return r;
  adopt(plan, &snapshots);
  if (q->options->pass_discard_snapshot)
    qcow2_transaction_give_back(&plan->t);
  return 0;
}

/* ── create ── */

/* The number after the highest one in use. */
static void new_id(const Qcow2 *q, char id[ID_BYTES])
{
  uint64_t highest = 0;
  for (size_t i = 0; i < q->snapshots.count; i++) {
    uint64_t number;
    if (g_ascii_string_to_unsigned(q->snapshots.list[i].id, 10, 0, UINT64_MAX - 1, &number, NULL))
      highest = MAX(highest, number);
  }
  g_snprintf(id, ID_BYTES, "%" PRIu64, highest + 1);
}

/* The table that is the disk's so far becomes the snapshot's, and the disk gets a new one. */
static int append_snapshot(Plan *plan, const char *name)
{
  const Qcow2 *q = plan->t.q;
  g_autoptr(GByteArray) table = NULL;
  char id[ID_BYTES];
  struct timeval now;
  new_id(q, id);
  gettimeofday(&now, NULL);
  const Qcow2Snapshot snapshot = {
      .l1_offset = q->l1_offset,
      .l1_entries = q->active.entries,
      .disk_size = plan->state.size,
      .date_sec = (uint32_t)now.tv_sec,
      .date_nsec = (uint32_t)now.tv_usec * 1000,
      .icount = UINT64_MAX,
      .id = id,
      .name = (char *)name,
  };
  int r = qcow2_snapshots_bytes(q->file, q->snapshots_offset, &q->snapshots, &table);
  if (r < 0)
    return r;
  qcow2_snapshots_append(table, &snapshot);
  return plan_snapshots(plan, table, q->snapshots.count + 1);
}

static int create(Qcow2 *q, const void *name)
{
  g_auto(Plan) plan;
  plan_init(&plan, q);
  int r = plan_tables(&plan, &q->active, entries_for(q, plan.state.size));
  if (r == 0)
    r = count_tree(&plan.t, &plan.tables, qcow2_transaction_raise);
  if (r == 0)
    r = append_snapshot(&plan, name);
  if (r == 0)
    r = plan_finish(&plan);
  return r == 0 ? plan_commit(&plan) : r;
}

/* ── apply ── */

static int read_tables(Qcow2 *q, const Qcow2Snapshot *snapshot, Qcow2Tables *tables)
{
  g_autoptr(GError) error = NULL;
  tables->entries = snapshot->l1_entries;
  return qcow2_l1_read(q->file, snapshot->l1_offset, snapshot->l1_entries, &tables->l1, &error)
             ? 0
             : -bg_error_errno(error);
}

static int apply(Qcow2 *q, const void *data)
{
  const Qcow2Snapshot *snapshot = data;
  g_auto(Plan) plan;
  Qcow2Tables theirs = {0};
  plan_init(&plan, q);
  if (snapshot->disk_size != UINT64_MAX)
    plan.state.size = snapshot->disk_size;
  if (plan.state.size > INT64_MAX)
    return -EINVAL;
  int r = read_tables(q, snapshot, &theirs);
  if (r == 0)
    r = plan_tables(&plan, &theirs, entries_for(q, plan.state.size));
  g_free(theirs.l1);
  if (r == 0)
    r = count_tree(&plan.t, &q->active, qcow2_transaction_lower);
  if (r == 0)
    r = count_tree(&plan.t, &plan.tables, qcow2_transaction_raise);
  if (r == 0)
    r = lower_area(&plan.t, q->l1_offset, q->active.entries * 8);
  if (r == 0)
    r = plan_finish(&plan);
  return r == 0 ? plan_commit(&plan) : r;
}

/* ── delete ── */

static int remove_snapshot(Plan *plan, const Qcow2Snapshot *snapshot)
{
  const Qcow2 *q = plan->t.q;
  g_autoptr(GByteArray) table = NULL;
  int r = qcow2_snapshots_bytes(q->file, q->snapshots_offset, &q->snapshots, &table);
  if (r < 0)
    return r;
  g_byte_array_remove_range(table, snapshot->at, snapshot->bytes);
  return plan_snapshots(plan, table, q->snapshots.count - 1);
}

static int delete (Qcow2 *q, const void *data)
{
  const Qcow2Snapshot *snapshot = data;
  g_auto(Plan) plan;
  Qcow2Tables theirs = {0};
  plan_init(&plan, q);
  int r = plan_tables(&plan, &q->active, q->active.entries);
  if (r == 0)
    r = read_tables(q, snapshot, &theirs);
  if (r == 0)
    r = count_tree(&plan.t, &theirs, qcow2_transaction_lower);
  g_free(theirs.l1);
  if (r == 0)
    r = lower_area(&plan.t, snapshot->l1_offset, (uint64_t)snapshot->l1_entries * 8);
  if (r == 0)
    r = lower_area(&plan.t, q->l1_offset, q->active.entries * 8);
  if (r == 0)
    r = remove_snapshot(&plan, snapshot);
  if (r == 0)
    r = plan_finish(&plan);
  return r == 0 ? plan_commit(&plan) : r;
}

/* ── the calls ── */

typedef int Operation(Qcow2 *q, const void *data);

static int clean(Qcow2 *q)
{
  int r = 0;
  for (int i = 0; r == 0 && i < CLEAN_ROUNDS && !qcow2_is_clean(q); i++)
    r = qcow2_hand_out(q) ?: qcow2_release(q);
  return r == 0 && !qcow2_is_clean(q) ? -EBUSY : r;
}

static bool run(Qcow2 *q, Operation *operation, const void *data, GError **error)
{
  if (atomic_load(&q->damaged)) {
    bg_set_error(error, EIO, "The image is damaged");
    return false;
  }
  pthread_mutex_lock(&q->write_back_lock);
  int r = clean(q);
  if (r == 0)
    r = operation(q, data);
  pthread_mutex_unlock(&q->write_back_lock);
  qcow2_damage_report(q, r);
  if (r == -EOVERFLOW)
    bg_set_error(error, EOVERFLOW, "Refcounts of %u bits cannot count one more snapshot", 1u << q->refcount_order);
  else if (r < 0)
    bg_set_error_errno(error, -r, "The image's tables cannot be written anew");
  return r == 0;
}

bool qcow2_snapshot_create(void *instance, const char *name, GError **error)
{
  Qcow2 *q = instance;
  if (!*name || strlen(name) > NAME_MAX_BYTES)
    bg_set_error(error, EINVAL, "A snapshot's name has 1 to %d bytes", NAME_MAX_BYTES);
  else if (q->external)
    bg_set_error(error, ENOTSUP,
                 "An image with a data file cannot have snapshots: writing would change what they show");
  else if (q->snapshots.count >= QCOW2_MAX_SNAPSHOTS)
    bg_set_error(error, EFBIG, "The image has %u snapshots, and cannot have more", QCOW2_MAX_SNAPSHOTS);
  else
    return run(q, create, name, error);
  return false;
}

static const Qcow2Snapshot *find(Qcow2 *q, const char *id, GError **error)
{
  const Qcow2Snapshot *snapshot = qcow2_snapshots_find(&q->snapshots, id);
  if (!snapshot)
    bg_set_error(error, ENOENT, "There is no such snapshot");
  return snapshot;
}

bool qcow2_snapshot_apply(void *instance, const char *id, GError **error)
{
  Qcow2 *q = instance;
  const Qcow2Snapshot *snapshot = find(q, id, error);
  bool resizes = snapshot && snapshot->disk_size != UINT64_MAX && snapshot->disk_size != atomic_load(&q->size);
  int r = resizes ? qcow2_bitmaps_mark(q, true) : 0; /* none has the right size any more */
  if (r < 0)
    bg_set_error_errno(error, -r, "Cannot mark the bitmaps as in use");
  return snapshot && r == 0 && run(q, apply, snapshot, error);
}

bool qcow2_snapshot_delete(void *instance, const char *id, GError **error)
{
  Qcow2 *q = instance;
  const Qcow2Snapshot *snapshot = find(q, id, error);
  return snapshot && run(q, delete, snapshot, error);
}

GPtrArray *qcow2_snapshots(void *instance, size_t most, size_t *count)
{
  Qcow2 *q = instance;
  GPtrArray *list = bg_snapshot_list_new();
  pthread_rwlock_rdlock(&q->lock);
  if (count)
    *count = q->snapshots.count;
  for (size_t i = 0; i < MIN(q->snapshots.count, most); i++) {
    const Qcow2Snapshot *from = &q->snapshots.list[i];
    BgSnapshot *snapshot = g_new(BgSnapshot, 1);
    *snapshot = (BgSnapshot){
        .id = g_strdup(from->id),
        .name = g_strdup(from->name),
        .size = from->disk_size != UINT64_MAX ? from->disk_size : atomic_load(&q->size),
        .vm_state_size = from->vm_state_size,
        .date_sec = from->date_sec,
        .date_nsec = from->date_nsec,
        .vm_clock_nsec = from->vm_clock_nsec,
        .icount = from->icount,
    };
    g_ptr_array_add(list, snapshot);
  }
  pthread_rwlock_unlock(&q->lock);
  return list;
}
