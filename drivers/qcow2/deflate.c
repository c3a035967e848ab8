/* Compressed writes. Compressed data is packed byte by byte, so clusters of the file are shared by several L2 entries, each of which holds
 * one reference to every cluster that it touches. The room behind the last data packed is open for the next, as long as
 * anybody holds a reference to its cluster. */
#include "drivers/qcow2/alloc.h"

#include "drivers/iov.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { DEFLATE_WINDOW_BITS = -12, DEFLATE_MEMORY_LEVEL = 9, SECTOR = 512 };

/* One write between finding its space and naming it. */
typedef struct Packing {
  uint64_t guest;          /* of the disk's cluster */
  Qcow2Table *table;       /* pinned */
  uint64_t offset, length; /* of the compressed data in the file, bytes */
} Packing;

/* ── getting smaller: -ENOTSUP where the data does not ── */

static int deflate_zlib(const uint8_t *in, size_t in_length, uint8_t *out, size_t *out_length)
{
  z_stream stream = {.next_in = (uint8_t *)in, .avail_in = in_length, .next_out = out, .avail_out = *out_length};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, DEFLATE_WINDOW_BITS, DEFLATE_MEMORY_LEVEL,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return -ENOMEM;
  int result = deflate(&stream, Z_FINISH);
  *out_length = stream.total_out;
  deflateEnd(&stream);
  return result == Z_STREAM_END ? 0 : -ENOTSUP;
}

static int deflate_zstd(const uint8_t *in, size_t in_length, uint8_t *out, size_t *out_length)
{
  size_t result = ZSTD_compress(out, *out_length, in, in_length, ZSTD_CLEVEL_DEFAULT);
  if (ZSTD_isError(result))
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? -ENOMEM : -ENOTSUP;
  *out_length = result;
  return 0;
}

static int deflate_cluster(const Qcow2 *q, const uint8_t *in, uint8_t *out, size_t *out_length)
{
  *out_length = q->cluster_size - 1;
  return (q->compression == QCOW2_COMPRESSION_ZSTD ? deflate_zstd : deflate_zlib)(in, q->cluster_size, out, out_length);
}

/* ── space: `lock` held exclusive ── */

/* What an entry can name ends here. */
static uint64_t entry_reach(const Qcow2 *q)
{
  return UINT64_C(1) << qcow2_compressed_offset_bits(q);
}

/* Takes a reference to each cluster that the data will touch. */
static int place(Qcow2 *q, uint64_t length, uint64_t *offset)
{
  uint64_t open = q->packed_end >> q->cluster_bits, first, count;
  uint64_t tail = q->packed_end ? q->cluster_size - (q->packed_end & (q->cluster_size - 1)) : 0;
  bool reads_zero;
  int r = length <= tail ? qcow2_refcount_raise(q, open) : -EMLINK;
  if (r == 0)
    *offset = q->packed_end;
  if (r != -EMLINK)
    return r;
  r = qcow2_alloc_run(q, 1, &first, &count, &reads_zero);
  if (r < 0)
    return r;
  *offset = first << q->cluster_bits;
  r = tail && length > tail && first == open + 1 ? qcow2_refcount_raise(q, open) : -EMLINK;
  if (r == 0)
    *offset = q->packed_end;
  else if (r != -EMLINK)
    qcow2_free_now(q, first, 1);
  return r == -EMLINK ? 0 : r;
}

/* Later, for what others had in the same clusters may still be read. */
static void give_back(Qcow2 *q, const Packing *packing)
{
  uint64_t last = (packing->offset + packing->length - 1) >> q->cluster_bits;
  for (uint64_t i = packing->offset >> q->cluster_bits; i <= last; i++)
    qcow2_free_later(q, i, false);
}

static int begin_locked(Qcow2 *q, Packing *packing)
{
  Qcow2Table *table;
  int r = atomic_load(&q->damaged) ? -EIO : qcow2_l2_own(q, packing->guest, &table);
  if (r == 0)
    r = qcow2_entry_check(q, qcow2_l2_entry(q, table, qcow2_l2_index(q, packing->guest)), packing->guest);
  if (r == 0)
    r = place(q, packing->length, &packing->offset);
  if (r < 0)
    return r;
  uint64_t end = packing->offset + packing->length;
  q->packed_end = end & (q->cluster_size - 1) ? end : 0;
  if (end > entry_reach(q)) {
    give_back(q, packing);
    return -ENOTSUP;
  }
  packing->table = table;
  table->pins++;
  return 0;
}

/* ── one write ── */

static int begin(Qcow2 *q, Packing *packing)
{
  int r = qcow2_l2_prefetch(q, packing->guest);
  if (r < 0)
    return r;
  pthread_rwlock_wrlock(&q->lock);
  r = begin_locked(q, packing);
  pthread_rwlock_unlock(&q->lock);
  return r;
}

static uint64_t entry_word(const Qcow2 *q, const Packing *packing)
{
  uint64_t last = packing->offset + packing->length - 1, sectors = last / SECTOR - packing->offset / SECTOR;
  return QCOW2_COMPRESSED | sectors << qcow2_compressed_offset_bits(q) | packing->offset;
}

/* Names the data, or after an error lets go of its space. */
static void end(Qcow2 *q, const Packing *packing, bool written)
{
  uint64_t index = qcow2_l2_index(q, packing->guest);
  pthread_rwlock_wrlock(&q->lock);
  if (written) {
    qcow2_entry_free(q, qcow2_l2_entry(q, packing->table, index), false);
    qcow2_l2_set(q, packing->table, index, (Qcow2Entry){.word = entry_word(q, packing)});
    q->data_committed = true;
  } else {
    give_back(q, packing);
  }
  packing->table->pins--;
  pthread_rwlock_unlock(&q->lock);
}

/* Takes `cluster`, what the compressed `data` was made from. */
static int write_packed(Qcow2 *q, Packing *packing, const uint8_t *data, uint8_t *cluster)
{
  int r = bg_child_pwrite(q->file, data, packing->length, packing->offset);
  if (r == 0)
    qcow2_inflated_replace(q->inflated, entry_word(q, packing), cluster);
  else
    g_free(cluster);
  end(q, packing, r == 0);
  return r;
}

int qcow2_pwritev_special(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Qcow2 *q = instance;
  if (q->external)
    return -ENOTSUP;
  g_autofree uint8_t *cluster = g_try_malloc(q->cluster_size), *data = g_try_malloc(q->cluster_size);
  if (!cluster || !data)
    return -ENOMEM;
  size_t length = bg_iov_to_buffer(iov, iovcnt, 0, cluster, q->cluster_size), smaller;
  memset(cluster + length, 0, q->cluster_size - length);
  int r = deflate_cluster(q, cluster, data, &smaller);
  if (r == 0)
    r = qcow2_relieve(q);
  Packing packing = {.guest = offset, .length = smaller};
  if (r == 0)
    r = begin(q, &packing);
  if (r == -ENOSPC && !qcow2_is_clean(q) && qcow2_write_back(q) == 0) /* what was freed may do */
    r = begin(q, &packing);
  if (r == 0)
    r = write_packed(q, &packing, data, g_steal_pointer(&cluster));
  return qcow2_damage_report(q, r);
}
