/* Metadata goes out as copies taken at one moment, in an order that is safe at every instant:
 *
 *   1. refcount blocks, and what nothing on disk names yet (new L2 tables, a moved refcount table); flush. With that flush,
 *      or that of the data file, the data of new clusters is durable as well, so that none of them ever shows what lay there before.
 *   2. entries of the refcount table, and the header if that table moved; flush.
 *   3. L2 tables in place and entries of the L1 table; flush if clusters were freed: their refcounts may fall now.
 *
 * What fails stays dirty, or fresh, as it was, and goes out again with the next call. A table that came through step 1 is not
 * fresh any more even if step 3 fails: then the disk may name it already. */
#include "drivers/qcow2/image.h"

#include <errno.h>

enum { PIECE = 512, ROUND = 4096, VECTOR = 64 };

/* A copy of bytes to be written. */
typedef struct Piece {
  uint64_t offset; /* in the file */
  uint32_t length;
  uint8_t *bytes;
  Qcow2Cache *cache; /* of `table` */
  Qcow2Table *table; /* NULL: a piece of the L1 or the refcount table */
  uint32_t from;     /* in the table */
  uint64_t index;    /* of the piece in the L1 or refcount table */
} Piece;

typedef struct HandOut {
  GArray *first; /* Piece: step 1 */
  GArray *reftable;
  GArray *l1;
  GArray *l2;
  GArray *freed; /* Qcow2Freed */
  uint8_t *whole_reftable;
  uint64_t reftable_offset;
  uint64_t reftable_bytes;
  bool header;
  bool data;
} HandOut;

static void clear_piece(void *data)
{
  g_free(((Piece *)data)->bytes);
}

static GArray *new_pieces(void)
{
  GArray *pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
  g_array_set_clear_func(pieces, clear_piece);
  return pieces;
}

static void hand_out_clear(HandOut *out)
{
  g_array_unref(out->first);
  g_array_unref(out->reftable);
  g_array_unref(out->l1);
  g_array_unref(out->l2);
  g_array_unref(out->freed);
  g_free(out->whole_reftable);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HandOut, hand_out_clear)

/* ── taking the copies: `lock` held exclusive ── */

static void take_table(Qcow2Cache *cache, Qcow2Table *table, GArray *pieces)
{
  uint32_t from = table->dirty_from & ~(uint32_t)(ROUND - 1);
  uint32_t to = MIN((table->dirty_to + ROUND - 1) & ~(uint32_t)(ROUND - 1), cache->table_size);
  Piece piece = {.offset = table->offset + from, .length = to - from, .cache = cache, .table = table, .from = from};
  piece.bytes = g_memdup2(table->data + from, piece.length);
  g_array_append_val(pieces, piece);
  table->writing = true;
  qcow2_table_clean(cache, table);
}

static void take_tables(Qcow2Cache *cache, GArray *fresh, GArray *others)
{
  for (guint i = 0; i < cache->ring->len && cache->dirty; i++) {
    Qcow2Table *table = g_ptr_array_index(cache->ring, i);
    if (qcow2_table_is_dirty(table))
      take_table(cache, table, table->fresh ? fresh : others);
  }
}

static uint8_t *encode(const uint64_t *entries, uint64_t count)
{
  uint8_t *bytes = g_malloc(count * 8);
  for (uint64_t i = 0; i < count; i++)
    qcow2_put64(bytes + i * 8, entries[i]);
  return bytes;
}

static void take_pieces(const uint64_t *entries, uint64_t count, uint64_t offset, GHashTable *dirty, GArray *pieces)
{
  GHashTableIter iter;
  void *key;
  g_hash_table_iter_init(&iter, dirty);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    uint64_t index = GPOINTER_TO_SIZE(key), from = index * (PIECE / 8), here = MIN(count - from, PIECE / 8);
    Piece piece = {.offset = offset + index * PIECE, .length = here * 8, .index = index};
    piece.bytes = encode(entries + from, here);
    g_array_append_val(pieces, piece);
  }
  g_hash_table_remove_all(dirty);
}

static void take(Qcow2 *q, HandOut *out)
{
  out->first = new_pieces();
  out->reftable = new_pieces();
  out->l1 = new_pieces();
  out->l2 = new_pieces();
  pthread_rwlock_wrlock(&q->lock);
  take_tables(&q->blocks, out->first, out->first);
  take_tables(&q->l2, out->first, out->l2);
  take_pieces(q->active.l1, q->active.entries, q->l1_offset, q->l1_dirty, out->l1);
  if (q->reftable_fresh) {
    out->whole_reftable = encode(q->reftable, q->reftable_entries);
    g_hash_table_remove_all(q->reftable_dirty);
  }
  take_pieces(q->reftable, q->reftable_entries, q->reftable_offset, q->reftable_dirty, out->reftable);
  out->reftable_offset = q->reftable_offset;
  out->reftable_bytes = q->reftable_entries * 8;
  out->header = q->header_pending;
  out->data = q->data_committed;
  q->data_committed = false;
  out->freed = q->freed;
  q->freed = g_array_new(FALSE, FALSE, sizeof(Qcow2Freed));
  pthread_rwlock_unlock(&q->lock);
}

/* ── writing them: `lock` not held ── */

static int compare_pieces(gconstpointer a, gconstpointer b)
{
  const Piece *left = a, *right = b;
  return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* Writes pieces that lie in a row in one go. */
static int write_pieces(Qcow2 *q, GArray *pieces)
{
  g_array_sort(pieces, compare_pieces);
  for (guint i = 0; i < pieces->len;) {
    struct iovec iov[VECTOR];
    int count = 0;
    uint64_t start = g_array_index(pieces, Piece, i).offset, end = start;
    for (; i < pieces->len && count < VECTOR; i++) {
      const Piece *piece = &g_array_index(pieces, Piece, i);
      if (piece->offset != end)
        break;
      iov[count++] = (struct iovec){piece->bytes, piece->length};
      end += piece->length;
    }
    int r = q->file->ops->pwritev(q->file, iov, count, start);
    if (r < 0)
      return r;
  }
  return 0;
}

static int flush(Qcow2 *q)
{
  return q->file->ops->flush(q->file);
}

static int write_first(Qcow2 *q, const HandOut *out)
{
  bool named = out->reftable->len || out->l1->len || out->l2->len || out->header;
  int r = write_pieces(q, out->first);
  if (r == 0 && out->whole_reftable)
    r = bg_child_pwrite(q->file, out->whole_reftable, out->reftable_bytes, out->reftable_offset);
  bool in_file = out->data && !q->external;
  if (r == 0 && named && out->data && q->external)
    r = q->data->ops->flush(q->data);
  bool order = named && (out->first->len || out->whole_reftable || in_file);
  return r == 0 && order ? flush(q) : r;
}

static void end_freshness(Qcow2 *q, const HandOut *out)
{
  pthread_rwlock_wrlock(&q->lock);
  for (guint i = 0; i < out->first->len; i++)
    g_array_index(out->first, Piece, i).table->fresh = false;
  if (out->whole_reftable && q->reftable_offset == out->reftable_offset)
    q->reftable_fresh = false;
  pthread_rwlock_unlock(&q->lock);
}

static void set_reftable(Qcow2Header *header, const void *data)
{
  const HandOut *out = data;
  header->reftable_offset = out->reftable_offset;
  header->reftable_clusters = out->reftable_bytes >> header->cluster_bits;
}

static int write_reftable(Qcow2 *q, const HandOut *out)
{
  if (!out->reftable->len && !out->header)
    return 0;
  int r = write_pieces(q, out->reftable);
  if (r == 0 && out->header)
    r = qcow2_header_change(q, set_reftable, out);
  return r == 0 ? flush(q) : r;
}

static int write_named(Qcow2 *q, const HandOut *out)
{
  pthread_rwlock_wrlock(&q->table_io);
  int r = write_pieces(q, out->l2);
  pthread_rwlock_unlock(&q->table_io);
  if (r == 0)
    r = write_pieces(q, out->l1);
  return r == 0 && out->freed->len ? flush(q) : r;
}

/* ── afterwards: `lock` held exclusive ── */

static void end_writing(const GArray *pieces, bool success)
{
  for (guint i = 0; i < pieces->len; i++) {
    const Piece *piece = &g_array_index(pieces, Piece, i);
    piece->table->writing = false;
    if (!success)
      qcow2_table_mark(piece->cache, piece->table, piece->from, piece->length);
  }
}

static void mark_again(GHashTable *dirty, const GArray *pieces)
{
  for (guint i = 0; i < pieces->len; i++)
    g_hash_table_add(dirty, GSIZE_TO_POINTER(g_array_index(pieces, Piece, i).index));
}

static void finish(Qcow2 *q, const HandOut *out, bool success)
{
  pthread_rwlock_wrlock(&q->lock);
  end_writing(out->first, success);
  end_writing(out->l2, success);
  if (success) {
    if (out->reftable_offset == q->reftable_offset)
      q->header_pending = false;
    g_array_append_vals(q->freed_durable, out->freed->data, out->freed->len);
  } else {
    mark_again(q->l1_dirty, out->l1);
    if (out->reftable_offset == q->reftable_offset)
      mark_again(q->reftable_dirty, out->reftable);
    q->data_committed |= out->data;
    g_array_append_vals(q->freed, out->freed->data, out->freed->len);
  }
  pthread_rwlock_unlock(&q->lock);
}

int qcow2_hand_out(Qcow2 *q)
{
  g_auto(HandOut) out = {0};
  take(q, &out);
  int r = write_first(q, &out);
  if (r == 0) {
    end_freshness(q, &out);
    r = write_reftable(q, &out);
  }
  if (r == 0)
    r = write_named(q, &out);
  finish(q, &out, r == 0);
  return r;
}

bool qcow2_is_clean(Qcow2 *q)
{
  pthread_rwlock_rdlock(&q->lock);
  bool clean = !q->l2.dirty && !q->blocks.dirty && !g_hash_table_size(q->l1_dirty) &&
               !g_hash_table_size(q->reftable_dirty) && !q->reftable_fresh && !q->header_pending && !q->freed->len &&
               !q->freed_durable->len;
  pthread_rwlock_unlock(&q->lock);
  return clean;
}

int qcow2_write_back(void *instance)
{
  Qcow2 *q = instance;
  pthread_mutex_lock(&q->write_back_lock);
  int r = qcow2_is_clean(q) ? 0 : qcow2_hand_out(q);
  if (r == 0)
    r = qcow2_release(q);
  pthread_mutex_unlock(&q->write_back_lock);
  return qcow2_damage_report(q, r);
}

int qcow2_relieve(Qcow2 *q)
{
  pthread_rwlock_rdlock(&q->lock);
  bool pressed = qcow2_cache_pressed(&q->l2) || qcow2_cache_pressed(&q->blocks);
  pthread_rwlock_unlock(&q->lock);
  return pressed ? qcow2_write_back(q) : 0;
}
