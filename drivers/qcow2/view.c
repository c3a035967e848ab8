/* A node that shows an internal snapshot: the same image by another L1 table, which is read when somebody first reads through it and
 * forgotten when nobody has it open any more. */
#include "drivers/qcow2/image.h"

#include <errno.h>
#include <string.h>

typedef struct View {
  Qcow2 *q;
  char *id, *name;
  uint32_t date_sec, date_nsec;
  uint64_t size;
  pthread_rwlock_t lock; /* taken before those of the image */
  bool loaded;
  uint64_t version; /* of the image's snapshots, when `tables` was read */
  Qcow2Tables tables;
} View;

void *qcow2_view_open(void *instance, const char *id)
{
  Qcow2 *q = instance;
  pthread_rwlock_rdlock(&q->lock);
  const Qcow2Snapshot *snapshot = qcow2_snapshots_find(&q->snapshots, id);
  uint64_t size = snapshot && snapshot->disk_size != UINT64_MAX ? snapshot->disk_size : atomic_load(&q->size);
  View *view = snapshot && size <= INT64_MAX ? g_new(View, 1) : NULL;
  if (view)
    *view = (View){.q = q,
                   .id = g_strdup(id),
                   .name = g_strdup(snapshot->name),
                   .date_sec = snapshot->date_sec,
                   .date_nsec = snapshot->date_nsec,
                   .size = size};
  pthread_rwlock_unlock(&q->lock);
  if (!view)
    return NULL;
  pthread_rwlock_init(&view->lock, NULL);
  return view;
}

static void view_close(void *instance)
{
  View *view = instance;
  pthread_rwlock_destroy(&view->lock);
  g_free(view->tables.l1);
  g_free(view->id);
  g_free(view->name);
  g_free(view);
}

static int64_t view_size(void *instance)
{
  const View *view = instance;
  return (int64_t)view->size;
}

/* ── the table ── */

/* Whether it is the one that the view was made for: ids are used again. `lock` held. */
static bool is_same(const View *view, const Qcow2Snapshot *snapshot)
{
  return strcmp(snapshot->name, view->name) == 0 && snapshot->date_sec == view->date_sec &&
         snapshot->date_nsec == view->date_nsec &&
         (snapshot->disk_size == UINT64_MAX || snapshot->disk_size == view->size);
}

/* Where the image says that the table is now, and what the snapshots' version is; -ESTALE: it says so no more. */
static int locate(const View *view, uint64_t *version, uint64_t *offset, uint64_t *entries)
{
  Qcow2 *q = view->q;
  pthread_rwlock_rdlock(&q->lock);
  const Qcow2Snapshot *snapshot = qcow2_snapshots_find(&q->snapshots, view->id);
  if (snapshot && !is_same(view, snapshot))
    snapshot = NULL;
  *version = q->snapshots_version;
  *offset = snapshot ? snapshot->l1_offset : 0;
  *entries = snapshot ? snapshot->l1_entries : 0;
  pthread_rwlock_unlock(&q->lock);
  return snapshot ? 0 : -ESTALE;
}

static bool is_current(const View *view)
{
  Qcow2 *q = view->q;
  pthread_rwlock_rdlock(&q->lock);
  bool current = view->loaded && view->version == q->snapshots_version;
  pthread_rwlock_unlock(&q->lock);
  return current;
}

static int load(View *view)
{
  uint64_t version, offset, entries, *l1;
  g_autoptr(GError) error = NULL;
  int r = locate(view, &version, &offset, &entries);
  if (r < 0)
    return r;
  if (!qcow2_l1_read(view->q->file, offset, entries, &l1, &error))
    return -bg_error_errno(error);
  g_free(view->tables.l1);
  view->tables = (Qcow2Tables){l1, entries};
  view->version = version;
  view->loaded = true;
  return 0;
}

/* The table is there, and stays until let_go(). */
static int hold(View *view)
{
  pthread_rwlock_rdlock(&view->lock);
  while (!is_current(view)) {
    pthread_rwlock_unlock(&view->lock);
    pthread_rwlock_wrlock(&view->lock);
    int r = is_current(view) ? 0 : load(view);
    pthread_rwlock_unlock(&view->lock);
    if (r < 0)
      return r;
    pthread_rwlock_rdlock(&view->lock);
  }
  return 0;
}

static void let_go(View *view)
{
  pthread_rwlock_unlock(&view->lock);
}

/* ── data ── */

static int view_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  View *view = instance;
  int r = hold(view);
  if (r < 0)
    return r;
  r = qcow2_map_by(view->q, &view->tables, offset, length, extent);
  let_go(view);
  if (r == 0)
    extent->flags &= ~(unsigned)BG_EXTENT_IN_PLACE;
  return r;
}

static int view_preadv_special(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  View *view = instance;
  int r = hold(view);
  if (r < 0)
    return r;
  r = qcow2_preadv_special_by(view->q, &view->tables, iov, iovcnt, offset);
  let_go(view);
  return r;
}

static int view_decode(void *instance, void *buffer, size_t length, uint64_t disk_offset, uint64_t file_offset)
{
  const View *view = instance;
  return qcow2_decode(view->q, buffer, length, disk_offset, file_offset);
}

static void view_limits(void *instance, BgLimits *limits)
{
  const View *view = instance;
  qcow2_limits(view->q, limits);
}

static void view_info(void *instance, BgInfo *info)
{
  const View *view = instance;
  info->add(info, "snapshot-id", g_variant_new_take_string(qcow2_printable(view->id, strlen(view->id))));
}

/* ── control ── */

/* The disk may be written beside: it never writes over what a snapshot names. */
static void view_child_perm(void *instance, const BgChild *child, bool writable, BgPerm perm, BgPerm shared,
                            BgPerm *child_perm, BgPerm *child_shared)
{
  (void)instance;
  (void)child;
  (void)writable;
  (void)shared;
  *child_perm = perm ? BG_PERM_CONSISTENT_READ : BG_PERM_NONE;
  *child_shared = BG_PERM_ALL;
}

static bool view_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error)
{
  (void)instance;
  (void)options;
  (void)error;
  *pending = GUINT_TO_POINTER(mode->perm != BG_PERM_NONE);
  return true;
}

static void view_change_commit(void *instance, void *pending)
{
  View *view = instance;
  if (pending) /* somebody has it open */
    return;
  pthread_rwlock_wrlock(&view->lock);
  g_clear_pointer(&view->tables.l1, g_free);
  view->tables.entries = 0;
  view->loaded = false;
  pthread_rwlock_unlock(&view->lock);
}

const BgDriver qcow2_view = {
    .name = "qcow2-snapshot",
    .summary = "An internal snapshot of a qcow2 image",
    .kind = BG_KIND_FORMAT,
    .close = view_close,
    .change_open = view_change_open,
    .change_commit = view_change_commit,
    .child_perm = view_child_perm,
    .info = view_info,
    .limits = view_limits,
    .size = view_size,
    .map = view_map,
    .preadv_special = view_preadv_special,
    .decode = view_decode,
};
