/* Reads of compressed clusters. A few inflated ones are kept, for small reads that follow each other. */
#include "drivers/qcow2/image.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>

enum { KEPT = 4, DEFLATE_WINDOW_BITS = -12 };

typedef struct Qcow2Inflated {
  pthread_mutex_t lock;
  struct {
    uint64_t entry; /* the L2 entry; 0: empty. A new content under the same entry comes by qcow2_inflated_replace() */
    uint8_t *data;
  } slots[KEPT];
  unsigned next;
  uint64_t generation; /* raised when all is forgotten: what was read before may not be kept any more */
} Qcow2Inflated;

Qcow2Inflated *qcow2_inflated_new(void)
{
  Qcow2Inflated *inflated = g_new0(Qcow2Inflated, 1);
  pthread_mutex_init(&inflated->lock, NULL);
  return inflated;
}

void qcow2_inflated_free(Qcow2Inflated *inflated)
{
  for (unsigned i = 0; i < KEPT; i++)
    g_free(inflated->slots[i].data);
  pthread_mutex_destroy(&inflated->lock);
  g_free(inflated);
}

static void *take_kept(Qcow2Inflated *inflated, uint64_t entry, uint64_t from, void *out, size_t length)
{
  void *found = NULL;
  pthread_mutex_lock(&inflated->lock);
  for (unsigned i = 0; i < KEPT && !found; i++)
    if (inflated->slots[i].entry == entry)
      found = memcpy(out, inflated->slots[i].data + from, length);
  pthread_mutex_unlock(&inflated->lock);
  return found;
}

/* Under `lock`. Takes `data`. */
static void put(Qcow2Inflated *inflated, uint64_t entry, uint8_t *data)
{
  unsigned slot = 0;
  while (slot < KEPT && inflated->slots[slot].entry != entry)
    slot++;
  if (slot == KEPT)
    slot = inflated->next++ % KEPT;
  g_free(inflated->slots[slot].data);
  inflated->slots[slot].entry = entry;
  inflated->slots[slot].data = data;
}

static uint64_t generation_now(Qcow2Inflated *inflated)
{
  pthread_mutex_lock(&inflated->lock);
  uint64_t generation = inflated->generation;
  pthread_mutex_unlock(&inflated->lock);
  return generation;
}

/* Takes `data`, which was read in that generation. */
static void keep(Qcow2Inflated *inflated, uint64_t generation, uint64_t entry, uint8_t *data)
{
  pthread_mutex_lock(&inflated->lock);
  if (generation == inflated->generation)
    put(inflated, entry, g_steal_pointer(&data));
  pthread_mutex_unlock(&inflated->lock);
  g_free(data);
}

/* Whoever read what an entry of that word named before is done: its space was in quarantine until then. */
void qcow2_inflated_replace(Qcow2Inflated *inflated, uint64_t entry, uint8_t *data)
{
  pthread_mutex_lock(&inflated->lock);
  put(inflated, entry, data);
  pthread_mutex_unlock(&inflated->lock);
}

void qcow2_inflated_forget(Qcow2Inflated *inflated)
{
  pthread_mutex_lock(&inflated->lock);
  inflated->generation++;
  for (unsigned i = 0; i < KEPT; i++) {
    inflated->slots[i].entry = 0;
    g_clear_pointer(&inflated->slots[i].data, g_free);
  }
  pthread_mutex_unlock(&inflated->lock);
}

static int inflate_zlib(const uint8_t *in, size_t in_length, uint8_t *out, size_t out_length)
{
  z_stream stream = {.next_in = (uint8_t *)in, .avail_in = in_length, .next_out = out, .avail_out = out_length};
  if (inflateInit2(&stream, DEFLATE_WINDOW_BITS) != Z_OK)
    return -ENOMEM;
  int result = inflate(&stream, Z_FINISH);
  bool full = stream.avail_out == 0 && (result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK);
  inflateEnd(&stream);
  return full ? 0 : -EIO;
}

static int inflate_zstd(const uint8_t *in, size_t in_length, uint8_t *out, size_t out_length)
{
  ZSTD_DCtx *context = ZSTD_createDCtx();
  if (!context)
    return -ENOMEM;
  ZSTD_inBuffer input = {in, in_length, 0};
  ZSTD_outBuffer output = {out, out_length, 0};
  while (output.pos < output.size) {
    size_t consumed = input.pos, produced = output.pos;
    size_t result = ZSTD_decompressStream(context, &output, &input);
    if (ZSTD_isError(result) || (input.pos == consumed && output.pos == produced))
      break;
  }
  ZSTD_freeDCtx(context);
  return output.pos == output.size ? 0 : -EIO;
}

static int inflate_cluster(Qcow2 *q, uint64_t entry, uint8_t *out)
{
  uint64_t offset, length;
  qcow2_entry_compressed(q, entry, &offset, &length);
  g_autofree uint8_t *in = g_try_malloc(length);
  if (!in)
    return -ENOMEM;
  int r = bg_child_pread(q->file, in, length, offset);
  if (r < 0)
    return r;
  return (q->compression == QCOW2_COMPRESSION_ZSTD ? inflate_zstd : inflate_zlib)(in, length, out, q->cluster_size);
}

static int read_compressed(Qcow2 *q, uint64_t generation, uint64_t entry, uint64_t from, void *out, size_t length)
{
  if (take_kept(q->inflated, entry, from, out, length))
    return 0;
  g_autofree uint8_t *data = g_try_malloc(q->cluster_size);
  if (!data)
    return -ENOMEM;
  int r = inflate_cluster(q, entry, data);
  if (r < 0)
    return r;
  memcpy(out, data + from, length);
  keep(q->inflated, generation, entry, g_steal_pointer(&data));
  return 0;
}

/* Reads inside one cluster. Since it was mapped a writer may have made it a plain one. */
static int read_in_cluster(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, void *out, size_t length)
{
  Qcow2Entry entry;
  uint64_t from = offset & (q->cluster_size - 1), generation = generation_now(q->inflated);
  int r = qcow2_l2_look_up(q, tables, offset, &entry);
  if (r < 0)
    return r;
  switch (qcow2_entry_kind(q, entry, from >> q->sub_bits)) {
  case QCOW2_DEFLATED:
    return read_compressed(q, generation, entry.word, from, out, length);
  case QCOW2_NORMAL:
    return qcow2_read_data(q, out, length, offset, qcow2_entry_offset(entry.word) + from);
  default:
    memset(out, 0, length);
    return 0;
  }
}

int qcow2_preadv_special_by(Qcow2 *q, const Qcow2Tables *tables, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  for (int i = 0; i < iovcnt; i++) {
    uint8_t *out = iov[i].iov_base;
    for (size_t left = iov[i].iov_len; left;) {
      size_t step = MIN(left, q->cluster_size - (offset & (q->cluster_size - 1)));
      int r = read_in_cluster(q, tables, offset, out, step);
      if (r < 0)
        return qcow2_damage_report(q, r);
      out += step;
      offset += step;
      left -= step;
    }
  }
  return 0;
}

int qcow2_preadv_special(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Qcow2 *q = instance;
  return qcow2_preadv_special_by(q, &q->active, iov, iovcnt, offset);
}
