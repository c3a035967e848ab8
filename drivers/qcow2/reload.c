/* Reading again what others may have changed while nobody wrote here. */
#include "drivers/qcow2/image.h"

#include <errno.h>

bool qcow2_is_same_shape(const Qcow2 *q, const Qcow2Header *header)
{
  uint64_t external = QCOW2_INCOMPAT_DATA_FILE, extended = QCOW2_INCOMPAT_EXTENDED_L2;
  bool raw = header->incompatible & external && header->autoclear & QCOW2_AUTOCLEAR_DATA_RAW;
  return header->version == q->version && header->cluster_bits == q->cluster_bits &&
         header->refcount_order == q->refcount_order && header->compression == q->compression &&
         !!(header->incompatible & external) == q->external && !!(header->incompatible & extended) == q->extended &&
         raw == q->raw && header->crypt_method == q->crypt_method && header->crypto_offset == q->crypto_offset &&
         header->crypto_size == q->crypto_size;
}

/* What the image says now. */
typedef struct Found {
  Qcow2Header header;
  Qcow2Snapshots snapshots;
  Qcow2Bitmaps bitmaps;
  uint64_t *l1; /* may be the table in memory */
} Found;

static void found_clear(const Qcow2 *q, Found *found)
{
  qcow2_header_clear(&found->header);
  qcow2_snapshots_clear(&found->snapshots);
  qcow2_bitmaps_clear(&found->bitmaps);
  if (found->l1 != q->active.l1)
    g_free(found->l1);
}

/* The table in memory where the one on disk is still the same: two large ones at once would be too much memory. */
static bool find_l1(Qcow2 *q, Found *found, GError **error)
{
  bool same;
  if (!qcow2_l1_compare(q, &found->header, &same, error))
    return false;
  if (same)
    found->l1 = q->active.l1;
  return same || qcow2_l1_read(q->file, found->header.l1_offset, found->header.l1_entries, &found->l1, error);
}

static bool find(Qcow2 *q, Found *found, GError **error)
{
  if (!qcow2_header_read(q->file, &found->header, error))
    return false;
  if (!qcow2_is_same_shape(q, &found->header)) {
    bg_set_error(error, ESTALE, "The image was replaced by another one since it was opened");
    return false;
  }
  return qcow2_crypto_check_same(q, &found->header, error) &&
         qcow2_snapshots_read(q->file, &found->header, &found->snapshots, error) &&
         qcow2_bitmaps_read(q->file, &found->header, &found->bitmaps, error) && find_l1(q, found, error);
}

#define EXCHANGE(type, a, b)                                                                                           \
  do {                                                                                                                 \
    type was = (a);                                                                                                    \
    (a) = (b);                                                                                                         \
    (b) = was;                                                                                                         \
  } while (0)

/* Afterwards *found is what was in memory before. */
static void adopt(Qcow2 *q, Found *found)
{
  pthread_rwlock_wrlock(&q->lock);
  q->active.entries = found->header.l1_entries;
  q->l1_offset = found->header.l1_offset;
  q->snapshots_offset = found->header.snapshots_offset;
  q->snapshots_version++;
  EXCHANGE(uint64_t *, q->active.l1, found->l1);
  EXCHANGE(Qcow2Snapshots, q->snapshots, found->snapshots);
  EXCHANGE(Qcow2Bitmaps, q->bitmaps, found->bitmaps);
  qcow2_cache_clear(&q->l2);
  pthread_rwlock_unlock(&q->lock);
  qcow2_inflated_forget(q->inflated);
  atomic_store(&q->size, found->header.size);
  pthread_mutex_lock(&q->header_lock);
  EXCHANGE(Qcow2Header, q->header, found->header);
  pthread_mutex_unlock(&q->header_lock);
}

bool qcow2_reload(Qcow2 *q, GError **error)
{
  Found found = {.l1 = NULL};
  bool good = find(q, &found, error);
  if (good)
    adopt(q, &found);
  bool same_snapshots = !good || qcow2_snapshots_equal(&found.snapshots, &q->snapshots);
  found_clear(q, &found);
  if (!same_snapshots)
    q->host->event(q->host, BG_EVENT_SNAPSHOTS, "the image's snapshots are others than before");
  return good;
}
