#include "drivers/qcow2/transaction.h"

#include <errno.h>
#include <inttypes.h>

/* A refcount block that changes. */
typedef struct Qcow2NewBlock {
  uint64_t number;
  uint64_t old_offset; /* 0: there was none */
  uint8_t *old, *new;
} Qcow2NewBlock;

static void free_block(void *data)
{
  Qcow2NewBlock *block = data;
  g_free(block->old);
  g_free(block->new);
  g_free(block);
}

void qcow2_transaction_begin(Qcow2Transaction *t, Qcow2 *q)
{
  *t = (Qcow2Transaction){
      .q = q,
      .blocks = g_hash_table_new_full(NULL, NULL, NULL, free_block),
      .order = g_ptr_array_new(),
      .taken = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
      .reftable = g_memdup2(q->reftable, q->reftable_entries * 8),
      .reftable_entries = q->reftable_entries,
      .hint = q->free_hint,
  };
}

void qcow2_transaction_clear(Qcow2Transaction *t)
{
  g_hash_table_unref(t->blocks);
  g_ptr_array_unref(t->order);
  g_array_unref(t->taken);
  g_free(t->reftable);
}

/* ── refcounts ── */

static Qcow2NewBlock *find_block(const Qcow2Transaction *t, uint64_t number)
{
  return g_hash_table_lookup(t->blocks, GSIZE_TO_POINTER(number));
}

/* Room for one more block in the refcount table. */
static int grow_reftable(Qcow2Transaction *t, uint64_t number)
{
  uint64_t per_cluster = t->q->cluster_size / 8;
  if (number < t->reftable_entries)
    return 0;
  uint64_t entries = (number + number / 8 + per_cluster) / per_cluster * per_cluster;
  entries = MIN(entries, MAX((number + per_cluster) / per_cluster * per_cluster, QCOW2_MAX_REFTABLE_BYTES / 8));
  if (entries * 8 > QCOW2_MAX_REFTABLE_BYTES)
    return -EFBIG;
  t->reftable = g_renew(uint64_t, t->reftable, entries);
  memset(t->reftable + t->reftable_entries, 0, (entries - t->reftable_entries) * 8);
  t->reftable_entries = entries;
  return 0;
}

/* The block of that number, to be changed. */
static int own_block(Qcow2Transaction *t, uint64_t number, Qcow2NewBlock **found)
{
  Qcow2 *q = t->q;
  Qcow2Table *cached;
  *found = find_block(t, number);
  int r = *found ? 0 : grow_reftable(t, number);
  if (r < 0 || *found)
    return r;
  g_autofree uint8_t *old = g_try_malloc0(q->cluster_size), *new = g_try_malloc0(q->cluster_size);
  if (!old || !new)
    return -ENOMEM;
  pthread_rwlock_wrlock(&q->lock);
  r = qcow2_block_get(q, number, &cached);
  if (r == 0 && cached) {
    memcpy(old, cached->data, q->cluster_size);
    memcpy(new, cached->data, q->cluster_size);
  }
  pthread_rwlock_unlock(&q->lock);
  if (r < 0)
    return r;
  Qcow2NewBlock *block = g_new(Qcow2NewBlock, 1);
  uint64_t offset = t->reftable[number] & QCOW2_REFTABLE_MASK;
  *block = (Qcow2NewBlock){number, offset, g_steal_pointer(&old), g_steal_pointer(&new)};
  g_hash_table_insert(t->blocks, GSIZE_TO_POINTER(number), block);
  g_ptr_array_add(t->order, block);
  *found = block;
  return 0;
}

int qcow2_transaction_get(Qcow2Transaction *t, uint64_t cluster, uint64_t *refcount)
{
  Qcow2 *q = t->q;
  uint64_t number = cluster / q->block_clusters, index = cluster % q->block_clusters;
  const Qcow2NewBlock *block = find_block(t, number);
  Qcow2Table *cached;
  *refcount = 0;
  if (block) {
    *refcount = qcow2_refcount_get(block->new, q->refcount_order, index);
    return 0;
  }
  pthread_rwlock_wrlock(&q->lock);
  int r = qcow2_block_get(q, number, &cached);
  if (r == 0 && cached)
    *refcount = qcow2_refcount_get(cached->data, q->refcount_order, index);
  pthread_rwlock_unlock(&q->lock);
  return r;
}

/* Adds `delta` (1 or -1). */
static int change(Qcow2Transaction *t, uint64_t cluster, int delta)
{
  Qcow2 *q = t->q;
  unsigned order = q->refcount_order;
  uint64_t index = cluster % q->block_clusters;
  Qcow2NewBlock *block;
  int r = own_block(t, cluster / q->block_clusters, &block);
  if (r < 0)
    return r;
  uint64_t refcount = qcow2_refcount_get(block->new, order, index);
  if (refcount == 0)
    return qcow2_damage(q, "The cluster at 0x%" PRIx64 " is in use with a refcount of zero",
                        cluster << q->cluster_bits);
  if (delta > 0 && refcount == qcow2_refcount_max(order))
    return -EOVERFLOW;
  qcow2_refcount_set(block->new, order, index, refcount + (uint64_t)delta);
  return 0;
}

int qcow2_transaction_raise(Qcow2Transaction *t, uint64_t cluster)
{
  return change(t, cluster, 1);
}

int qcow2_transaction_lower(Qcow2Transaction *t, uint64_t cluster)
{
  return change(t, cluster, -1);
}

/* ── space ── */

/* The counts of one block, before and as they will be; NULL: all zero. */
typedef struct Counts {
  const uint8_t *old, *new;
} Counts;

/* `lock` held exclusive, as long as *counts is used. */
static int look_at_block(const Qcow2Transaction *t, uint64_t number, Counts *counts)
{
  const Qcow2NewBlock *block = find_block(t, number);
  Qcow2Table *cached;
  *counts = (Counts){0};
  if (block) {
    *counts = (Counts){block->old, block->new};
    return 0;
  }
  int r = qcow2_block_get(t->q, number, &cached);
  if (r == 0 && cached)
    *counts = (Counts){cached->data, cached->data};
  return r;
}

static bool is_free(const Qcow2Transaction *t, const Counts *counts, uint64_t cluster)
{
  const Qcow2 *q = t->q;
  uint64_t index = cluster % q->block_clusters;
  if (counts->old && (qcow2_refcount_get(counts->old, q->refcount_order, index) ||
                      qcow2_refcount_get(counts->new, q->refcount_order, index)))
    return false;
  return !g_hash_table_contains(q->quarantined, GSIZE_TO_POINTER(cluster));
}

/* `lock` held exclusive. */
static int find_run(Qcow2Transaction *t, uint64_t count, uint64_t *first)
{
  Qcow2 *q = t->q;
  Counts counts = {0};
  uint64_t looked_at = UINT64_MAX, run = 0;
  for (uint64_t cluster = t->hint; run < count; cluster++) {
    int r = 0;
    if (cluster >= QCOW2_MAX_OFFSET >> q->cluster_bits)
      return -EFBIG;
    if (cluster / q->block_clusters != looked_at)
      r = look_at_block(t, looked_at = cluster / q->block_clusters, &counts);
    if (r < 0)
      return r;
    bool free = is_free(t, &counts, cluster);
    if (free && qcow2_classes_of(q, cluster))
      return qcow2_damage(q, "The metadata at 0x%" PRIx64 " has a refcount of zero", cluster << q->cluster_bits);
    run = free ? run + 1 : 0;
    *first = cluster + 1 - run;
  }
  return qcow2_check_room(q, *first, count);
}

static int set_taken(Qcow2Transaction *t, uint64_t cluster)
{
  Qcow2 *q = t->q;
  Qcow2NewBlock *block;
  int r = own_block(t, cluster / q->block_clusters, &block);
  if (r == 0) {
    qcow2_refcount_set(block->new, q->refcount_order, cluster % q->block_clusters, 1);
    g_array_append_val(t->taken, cluster);
  }
  return r;
}

int qcow2_transaction_take(Qcow2Transaction *t, uint64_t count, uint64_t *first)
{
  Qcow2 *q = t->q;
  uint64_t found = 0;
  pthread_rwlock_wrlock(&q->lock);
  int r = find_run(t, count, &found);
  if (r == 0)
    q->high_water = MAX(q->high_water, (found + count) << q->cluster_bits);
  pthread_rwlock_unlock(&q->lock);
  for (uint64_t i = 0; r == 0 && i < count; i++)
    r = set_taken(t, found + i);
  if (r < 0)
    return r;
  if (count == 1) /* the first that is free */
    t->hint = found + 1;
  *first = found;
  return 0;
}

static int write_whole(const Qcow2 *q, const void *data, uint64_t length, uint64_t offset)
{
  uint64_t rest = -length & (q->cluster_size - 1);
  g_autofree uint8_t *zeros = g_try_malloc0(MAX(rest, 1));
  struct iovec iov[] = {{(void *)data, length}, {zeros, rest}};
  return zeros ? q->file->ops->pwritev(q->file, iov, rest ? 2 : 1, offset) : -ENOMEM;
}

int qcow2_transaction_put(Qcow2Transaction *t, const void *data, uint64_t length, uint64_t *offset)
{
  Qcow2 *q = t->q;
  uint64_t first;
  int r = qcow2_transaction_take(t, (length + q->cluster_size - 1) >> q->cluster_bits, &first);
  if (r == 0)
    r = write_whole(q, data, length, first << q->cluster_bits);
  if (r == 0)
    *offset = first << q->cluster_bits;
  return r;
}

/* ── the end ── */

/* A new place for the block; the old one is free then. May make other blocks change. */
static int place_block(Qcow2Transaction *t, const Qcow2NewBlock *block)
{
  uint64_t cluster;
  int r = qcow2_transaction_take(t, 1, &cluster);
  if (r == 0 && block->old_offset)
    r = qcow2_transaction_lower(t, block->old_offset >> t->q->cluster_bits);
  if (r == 0)
    t->reftable[block->number] = cluster << t->q->cluster_bits;
  return r;
}

static uint64_t reftable_clusters(const Qcow2Transaction *t)
{
  return t->reftable_entries * 8 >> t->q->cluster_bits;
}

static void untake(Qcow2Transaction *t, uint64_t first, uint64_t count)
{
  for (uint64_t i = first; i < first + count; i++) {
    Qcow2NewBlock *block = find_block(t, i / t->q->block_clusters);
    qcow2_refcount_set(block->new, t->q->refcount_order, i % t->q->block_clusters, 0);
  }
}

/* Places for all blocks that change and for the table, each of which may need more of the other. */
static int place_refcounts(Qcow2Transaction *t)
{
  uint64_t first = 0, clusters = 0, old = t->q->reftable_offset >> t->q->cluster_bits;
  int r = 0;
  for (uint64_t i = 0; r == 0 && i < t->q->reftable_entries * 8 >> t->q->cluster_bits; i++)
    r = qcow2_transaction_lower(t, old + i);
  for (guint done = 0; r == 0 && (done < t->order->len || clusters < reftable_clusters(t));) {
    if (done < t->order->len) {
      r = place_block(t, t->order->pdata[done++]);
    } else {
      untake(t, first, clusters);
      clusters = reftable_clusters(t);
      r = qcow2_transaction_take(t, clusters, &first);
    }
  }
  t->reftable_offset = first << t->q->cluster_bits;
  return r;
}

static int write_refcounts(Qcow2Transaction *t)
{
  Qcow2 *q = t->q;
  for (guint i = 0; i < t->order->len; i++) {
    const Qcow2NewBlock *block = t->order->pdata[i];
    int r = bg_child_pwrite(q->file, block->new, q->cluster_size, t->reftable[block->number]);
    if (r < 0)
      return r;
  }
  g_autofree uint64_t *table = g_try_new(uint64_t, t->reftable_entries);
  for (uint64_t i = 0; table && i < t->reftable_entries; i++)
    table[i] = htobe64(t->reftable[i]);
  return table ? bg_child_pwrite(q->file, table, t->reftable_entries * 8, t->reftable_offset) : -ENOMEM;
}

/* What changes in the header. */
typedef struct Fields {
  Qcow2State state;
  uint64_t reftable_offset;
  uint32_t reftable_clusters;
} Fields;

static void set_fields(Qcow2Header *header, const void *data)
{
  const Fields *fields = data;
  header->size = fields->state.size;
  header->l1_offset = fields->state.l1_offset;
  header->l1_entries = fields->state.l1_entries;
  header->snapshots_offset = fields->state.snapshots_offset;
  header->snapshot_count = fields->state.snapshot_count;
  header->reftable_offset = fields->reftable_offset;
  header->reftable_clusters = fields->reftable_clusters;
}

static Fields get_fields(Qcow2 *q)
{
  pthread_mutex_lock(&q->header_lock);
  const Qcow2Header *h = &q->header;
  Fields fields = {{h->size, h->l1_offset, h->l1_entries, h->snapshots_offset, h->snapshot_count},
                   h->reftable_offset,
                   h->reftable_clusters};
  pthread_mutex_unlock(&q->header_lock);
  return fields;
}

static int write_header(Qcow2 *q, const Fields *fields)
{
  int r = qcow2_header_change(q, set_fields, fields);
  return r == 0 ? q->file->ops->flush(q->file) : r;
}

/* Nobody knows what the header on disk says after a failure. As long as it may name the new state, nothing else may lie there. */
static void take_back(Qcow2Transaction *t, const Fields *before)
{
  Qcow2 *q = t->q;
  if (write_header(q, before) == 0)
    return;
  pthread_mutex_lock(&q->header_lock);
  set_fields(&q->header, before);
  pthread_mutex_unlock(&q->header_lock);
  pthread_rwlock_wrlock(&q->lock);
  for (guint i = 0; i < t->taken->len; i++)
    g_hash_table_add(q->quarantined, GSIZE_TO_POINTER(g_array_index(t->taken, uint64_t, i)));
  q->header_pending = true;
  pthread_rwlock_unlock(&q->lock);
}

/* The new refcounts and where they are. */
static void adopt(Qcow2Transaction *t)
{
  Qcow2 *q = t->q;
  pthread_rwlock_wrlock(&q->lock);
  uint64_t *old = q->reftable;
  q->reftable = t->reftable;
  q->reftable_entries = t->reftable_entries;
  q->reftable_offset = t->reftable_offset;
  q->free_hint = 0;
  q->packed_end = 0;
  qcow2_cache_clear(&q->blocks);
  pthread_rwlock_unlock(&q->lock);
  t->reftable = old;
}

int qcow2_transaction_commit(Qcow2Transaction *t, const Qcow2State *state)
{
  Qcow2 *q = t->q;
  int r = place_refcounts(t);
  if (r == 0)
    r = write_refcounts(t);
  if (r == 0)
    r = q->file->ops->flush(q->file);
  if (r < 0)
    return r;
  Fields before = get_fields(q), after = {*state, t->reftable_offset, reftable_clusters(t)};
  r = write_header(q, &after);
  if (r < 0)
    take_back(t, &before);
  else
    adopt(t);
  return r;
}

static bool became_free(const Qcow2 *q, const Qcow2NewBlock *block, uint64_t index)
{
  return qcow2_refcount_get(block->old, q->refcount_order, index) &&
         !qcow2_refcount_get(block->new, q->refcount_order, index);
}

void qcow2_transaction_give_back(Qcow2Transaction *t)
{
  Qcow2 *q = t->q;
  for (guint i = 0; i < t->order->len; i++) {
    const Qcow2NewBlock *block = t->order->pdata[i];
    for (uint64_t index = 0, run; index < q->block_clusters; index += MAX(run, 1)) {
      for (run = 0; index + run < q->block_clusters && became_free(q, block, index + run);)
        run++;
      if (run)
        q->file->ops->discard(q->file, (block->number * q->block_clusters + index) << q->cluster_bits,
                              run << q->cluster_bits);
    }
  }
}
