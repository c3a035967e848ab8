/* Read-only to read-write and back, and other cache sizes. */
#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/check.h"

#include <errno.h>

/* Frees of the last hand-out dirty refcounts again; more rounds than these are never needed. */
enum { DOWN_ROUNDS = 8 };

typedef struct Change {
  bool writable; /* the mode to come */
  bool turns;    /* it differs from the one that is */
  bool settled;
  const Qcow2Options *options;
  unsigned overlap;                 /* that these options choose */
  GHashTable *inactive;             /* as Qcow2.inactive will be; NULL: as it is */
  uint64_t incompatible, autoclear; /* of the header before */
} Change;

/* Why the image takes no writer, if so. */
static bool check_writable(Qcow2 *q, const Qcow2Header *header, GError **error)
{
  pthread_mutex_lock(&q->damage_lock);
  g_autofree char *reason = g_strdup(q->damage_reason);
  pthread_mutex_unlock(&q->damage_lock);
  if (reason)
    bg_set_error(error, EROFS, "The image is damaged: %s", reason);
  else if (header->incompatible & QCOW2_INCOMPAT_CORRUPT)
    bg_set_error(error, EROFS, "The image is marked as corrupt; repair it with 'blockgraphfs check --repair all'");
  else if (header->crypt_method == QCOW2_CRYPT_AES)
    bg_set_error(error, EROFS, "The image is encrypted with the legacy method AES, which is only read");
  else if (header->incompatible & QCOW2_INCOMPAT_DATA_FILE && header->snapshot_count)
    bg_set_error(error, EROFS, "The image has snapshots, whose data in the data file a writer would overwrite");
  else
    return true;
  return false;
}

/* A copy to look at the numbers of; the strings are not the caller's. */
static Qcow2Header header_now(Qcow2 *q)
{
  pthread_mutex_lock(&q->header_lock);
  Qcow2Header header = q->header;
  pthread_mutex_unlock(&q->header_lock);
  return header;
}

static bool may_change(Qcow2 *q, const BgMode *mode, GError **error)
{
  if (!mode->writable || q->writable)
    return true;
  Qcow2Header header = header_now(q);
  return check_writable(q, &header, error);
}

/* Who changes the metadata, and may wait for the storage meanwhile, is a writer. */
bool qcow2_can_change(void *instance, const BgMode *mode, GError **error)
{
  Qcow2 *q = instance;
  if (pthread_rwlock_tryrdlock(&q->lock) != 0)
    return true;
  bool was = q->writable;
  pthread_rwlock_unlock(&q->lock);
  return was || may_change(q, mode, error);
}

bool qcow2_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error)
{
  Qcow2 *q = instance;
  unsigned overlap;
  if (!may_change(q, mode, error) || !qcow2_check_version(options, q->version, error) ||
      !qcow2_overlap_classes(options, &overlap, error))
    return false;
  Change *change = g_new0(Change, 1);
  change->writable = mode->writable;
  change->turns = mode->writable != q->writable;
  change->options = options;
  change->overlap = overlap;
  *pending = change;
  return true;
}

static void set_writer_marks(Qcow2Header *header, const void *data)
{
  const Qcow2 *q = data;
  bool lazy = q->options->lazy_refcounts == QCOW2_LAZY_HEADER ? header->compatible & QCOW2_COMPAT_LAZY
                                                              : q->options->lazy_refcounts == QCOW2_LAZY_ON;
  uint64_t kept = q->bitmaps.damage ? 0 : QCOW2_AUTOCLEAR_BITMAPS;
  if (header->incompatible & QCOW2_INCOMPAT_DATA_FILE)
    kept |= QCOW2_AUTOCLEAR_DATA_RAW;
  header->autoclear &= kept;
  if (header->version >= 3 && lazy)
    header->incompatible |= QCOW2_INCOMPAT_DIRTY;
}

static void clear_dirty(Qcow2Header *header, const void *data)
{
  (void)data;
  header->incompatible &= ~QCOW2_INCOMPAT_DIRTY;
}

static void restore_marks(Qcow2Header *header, const void *data)
{
  const Change *change = data;
  header->incompatible = (change->incompatible & QCOW2_INCOMPAT_DIRTY) | (header->incompatible & ~QCOW2_INCOMPAT_DIRTY);
  header->autoclear = change->autoclear;
}

/* Changes the header on disk, durably, if `apply` makes a difference. After a failure nobody knows what the disk says: it is written again. */
static int settle_header(Qcow2 *q, void (*apply)(Qcow2Header *, const void *), const void *data)
{
  Qcow2Header next = header_now(q);
  uint64_t incompatible = next.incompatible, autoclear = next.autoclear;
  apply(&next, data);
  if (!q->header_owed && next.incompatible == incompatible && next.autoclear == autoclear)
    return 0;
  int r = qcow2_header_change(q, apply, data);
  if (r == 0)
    r = q->file->ops->flush(q->file);
  q->header_owed = r < 0;
  return r;
}

/* Whoever left the image marked dirty may not have written its refcounts. */
static bool mend_dirty(Qcow2 *q, GError **error)
{
  return !(q->header.incompatible & QCOW2_INCOMPAT_DIRTY) || (qcow2_check_dirty(q, error) && qcow2_reload(q, error));
}

/* Nothing was written yet. A bitmap whose mark cannot be taken off counts as not stored. */
static int undo_up(Qcow2 *q, const Change *change)
{
  bg_bitmaps_remove_persistent(q->host->bitmaps);
  int bitmaps = qcow2_bitmaps_unmark(q), header = settle_header(q, restore_marks, change);
  qcow2_writer_drop(q);
  return bitmaps < 0 ? bitmaps : header;
}

/* Where the snapshots' L2 tables are, if that is asked for and not known. */
static bool settle_inactive(Qcow2 *q, Change *change, GError **error)
{
  if (!(change->overlap & QCOW2_OVERLAP_INACTIVE_L2) || q->inactive)
    return true;
  return qcow2_inactive_read(q, &q->snapshots, &change->inactive, error) &&
         qcow2_inactive_check(q, change->inactive, error);
}

/* What the image reads as may be on its way to the disk only, if whoever wrote it was killed: what a writer relies on has to be there. */
static bool settle_inherited(Qcow2 *q, GError **error)
{
  int r = q->file->ops->flush(q->file);
  if (r < 0)
    bg_set_error_errno(error, -r, "Cannot flush what was written before");
  return r == 0;
}

static bool settle_up(Qcow2 *q, Change *change, GError **error)
{
  if (!settle_inherited(q, error) || !qcow2_reload(q, error) || !check_writable(q, &q->header, error) ||
      !mend_dirty(q, error))
    return false;
  Qcow2Header header = header_now(q);
  change->incompatible = header.incompatible;
  change->autoclear = header.autoclear;
  if (!qcow2_writer_load(q, &header, error))
    return false;
  if (!settle_inactive(q, change, error)) {
    qcow2_writer_drop(q);
    return false;
  }
  qcow2_bitmaps_load(q);
  int r = settle_header(q, set_writer_marks, q);
  if (r == 0)
    r = qcow2_bitmaps_mark(q, false);
  if (r < 0) {
    bg_set_error_errno(error, -r, "Cannot write the header");
    undo_up(q, change);
    return false;
  }
  if (q->bitmaps.damage)
    q->host->event(q->host, BG_EVENT_WARNING, q->bitmaps.damage);
  return true;
}

/* All metadata is out, and durable. */
static int settle_metadata(Qcow2 *q)
{
  int r = 0;
  for (int i = 0; r == 0 && i < DOWN_ROUNDS && (i == 0 || !qcow2_is_clean(q)); i++)
    r = qcow2_write_back(q);
  if (r == 0 && q->external)
    r = q->data->ops->flush(q->data);
  if (r == 0)
    r = q->file->ops->flush(q->file);
  return r;
}

static void restore_dirty(Qcow2Header *header, const void *data)
{
  const Change *change = data;
  header->incompatible |= change->incompatible & QCOW2_INCOMPAT_DIRTY;
}

/* It stays writable: what is on disk may be left behind again. Marks of bitmaps that cannot be set are owed. */
static int undo_down(Qcow2 *q, const Change *change)
{
  int bitmaps = qcow2_bitmaps_mark(q, false), header = settle_header(q, restore_dirty, change);
  return bitmaps < 0 ? bitmaps : header;
}

static bool settle_down(Qcow2 *q, Change *change, GError **error)
{
  Qcow2Header header = header_now(q);
  change->incompatible = header.incompatible;
  change->autoclear = header.autoclear;
  int r = settle_metadata(q);
  if (r == 0)
    r = qcow2_bitmaps_store(q);
  if (r == 0 && !qcow2_is_clean(q))
    r = settle_metadata(q);
  if (r == 0)
    r = settle_header(q, clear_dirty, NULL);
  if (r == 0)
    return true;
  bg_set_error_errno(error, -r, "Cannot write the image's metadata");
  undo_down(q, change);
  return false;
}

/* A downgrade that failed may have taken marks off bitmaps: no writer comes in before they are there again. */
static bool settle_same(Qcow2 *q, Change *change, GError **error)
{
  int r = change->writable && q->bitmaps.owed ? qcow2_bitmaps_mark(q, false) : 0;
  if (r < 0)
    bg_set_error_errno(error, -r, "Cannot mark the bitmaps as in use");
  return r == 0 && (!change->writable || settle_inactive(q, change, error));
}

bool qcow2_change_settle(void *instance, void *pending, GError **error)
{
  Change *change = pending;
  change->settled = (!change->turns     ? settle_same
                     : change->writable ? settle_up
                                        : settle_down)(instance, change, error);
  return change->settled;
}

static void change_free(Change *change)
{
  g_clear_pointer(&change->inactive, g_hash_table_unref);
  g_free(change);
}

void qcow2_change_commit(void *instance, void *pending)
{
  Qcow2 *q = instance;
  Change *change = pending;
  pthread_rwlock_wrlock(&q->lock);
  q->options = change->options;
  qcow2_cache_set_limit(&q->l2, q->options->l2_cache_size);
  qcow2_cache_set_limit(&q->blocks, q->options->refcount_cache_size);
  q->overlap = change->overlap;
  if (change->inactive || !(q->overlap & QCOW2_OVERLAP_INACTIVE_L2))
    g_clear_pointer(&q->inactive, g_hash_table_unref);
  if (change->inactive)
    q->inactive = g_steal_pointer(&change->inactive);
  q->writable = change->writable;
  pthread_rwlock_unlock(&q->lock);
  if (change->turns && !change->writable) {
    bg_bitmaps_remove_persistent(q->host->bitmaps);
    qcow2_writer_drop(q);
  }
  change_free(change);
}

void qcow2_change_abort(void *instance, void *pending)
{
  Qcow2 *q = instance;
  Change *change = pending;
  if (change->turns && change->settled) {
    int r = change->writable ? undo_up(q, change) : undo_down(q, change);
    if (r < 0)
      q->host->event(q->host, BG_EVENT_WARNING, "The marks in the header could not be set back");
  }
  change_free(change);
}
