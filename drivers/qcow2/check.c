/* The passes of a check, and what is done between them. */
#include "drivers/qcow2/check.h"

#include "drivers/qcow2/check-pass.h"

#include <errno.h>

/* Refcount blocks that are kept: bytes, and at least so many. */
#define SLOT_BYTES (UINT64_C(8) << 20)
enum { SLOTS_MIN = 4, SLOTS_MAX = 4096 };

/* A writer waits no longer for an image to be mended. */
#define DIRTY_SECONDS 60

static void check_clear(Qcow2Check *check)
{
  qcow2_header_clear(&check->header);
  qcow2_snapshots_clear(&check->snapshots);
  qcow2_counts_clear(&check->counts);
  if (check->slots)
    qcow2_disk_forget(check);
  g_free(check->slots);
  g_free(check->reftable);
  g_free(check->damage);
  g_clear_pointer(&check->tables, g_hash_table_unref);
  g_clear_pointer(&check->replaced, g_hash_table_unref);
  g_clear_pointer(&check->uncounted, g_hash_table_unref);
  g_clear_pointer(&check->metadata, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Qcow2Check, check_clear)

/* ── one pass ── */

static bool read_table(Qcow2Check *check, GError **error)
{
  uint64_t entries = (uint64_t)check->header.reftable_clusters << check->header.cluster_bits >> 3;
  check->reftable = g_try_new(uint64_t, entries);
  int r = check->reftable ? bg_child_pread(check->file, check->reftable, entries * 8, check->header.reftable_offset)
                          : -ENOMEM;
  if (r < 0) {
    bg_set_error_errno(error, -r, "Cannot read the refcount table");
    return false;
  }
  for (uint64_t i = 0; i < entries; i++)
    check->reftable[i] = be64toh(check->reftable[i]);
  check->reftable_entries = entries;
  return true;
}

static bool read_start(Qcow2Check *check, GError **error)
{
  const Qcow2 *q = check->q;
  Qcow2Header *header = &check->header;
  int64_t size = check->file->ops->size(check->file);
  if (size < 0) {
    bg_set_error_errno(error, (int)-size, "Cannot tell the file's size");
    return false;
  }
  check->file_size = (uint64_t)size;
  check->file_clusters = (check->file_size + q->cluster_size - 1) >> q->cluster_bits;
  if (!qcow2_header_read(check->file, header, error))
    return false;
  if (!qcow2_is_same_shape(q, header)) {
    bg_set_error(error, ESTALE, "The image was replaced by another one since it was opened");
    return false;
  }
  check->result.total_clusters = (header->size >> q->cluster_bits) + !!(header->size & (q->cluster_size - 1));
  return qcow2_snapshots_read(check->file, header, &check->snapshots, error) && read_table(check, error);
}

static void init(Qcow2Check *check, const Qcow2 *q, BgFix fix, BgCheckWatcher *watcher)
{
  check->q = q;
  check->file = q->file;
  check->fix = fix;
  check->watcher = watcher;
  qcow2_counts_init(&check->counts, q->cluster_bits, q->refcount_order);
  check->tables = g_hash_table_new(NULL, NULL);
  check->replaced = g_hash_table_new(NULL, NULL);
  check->uncounted = g_hash_table_new(NULL, NULL);
  check->metadata = g_array_new(FALSE, FALSE, sizeof(Qcow2Range));
  check->slot_count = CLAMP(SLOT_BYTES >> q->cluster_bits, SLOTS_MIN, SLOTS_MAX);
  check->slots = g_new0(Qcow2Slot, check->slot_count);
  qcow2_disk_forget(check);
}

static void sum_up(Qcow2Check *check)
{
  check->result.leaks = check->found[QCOW2_LEAK];
  check->result.corruptions =
      check->found[QCOW2_REFCOUNT_LOW] + check->found[QCOW2_FALSE_FLAG] + check->found[QCOW2_STRUCTURE];
  check->result.check_errors = check->found[QCOW2_UNREADABLE];
}

static bool set_failure(int r, GError **error)
{
  if (r == -ECANCELED)
    bg_set_error(error, ECANCELED, "The check was cancelled");
  else if (r == -E2BIG)
    bg_set_error(error, E2BIG, "The image is too large to be checked: counting would take more than 1 GiB of memory");
  else
    bg_set_error_errno(error, -r, "The check ended early");
  return false;
}

static bool run(Qcow2Check *check, const Qcow2 *q, BgFix fix, BgCheckWatcher *watcher, GError **error)
{
  init(check, q, fix, watcher);
  if (!read_start(check, error))
    return false;
  int r = qcow2_check_walk(check);
  if (r == 0)
    r = qcow2_check_compare(check);
  sum_up(check);
  return r == 0 || set_failure(r, error);
}

/* ── mending ── */

static int mend(Qcow2Check *check)
{
  bool all = check->fix == BG_FIX_ALL;
  bool only_flags = check->result.corruptions == check->found[QCOW2_FALSE_FLAG];
  int r = all ? qcow2_check_raise(check) : 0;
  if (r == 0 && check->incomplete)
    qcow2_check_tell(check, "Not mended: leaks stay, because some metadata cannot be followed");
  else if (r == 0)
    r = qcow2_check_lower(check);
  if (r == 0 && (all || only_flags))
    r = qcow2_check_flags(check);
  return r;
}

/* Writes the header if a mark is there to be taken off. */
static int take_marks_off(Qcow2Check *check)
{
  uint64_t marks = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT;
  if (!(check->header.incompatible & marks))
    return 0;
  int r = check->file->ops->flush(check->file);
  check->header.incompatible &= ~marks;
  if (r == 0)
    r = qcow2_header_write(check->file, &check->header);
  return r == 0 ? check->file->ops->flush(check->file) : r;
}

static bool set_mend_failure(int r, GError **error)
{
  if (r == -ECANCELED)
    return set_failure(r, error);
  bg_set_error_errno(error, -r, "The image could not be mended");
  return false;
}

/* Mends what `first` found, looks again, and takes off marks that are true no longer. */
static bool mend_and_look(Qcow2Check *first, BgCheckResult *result, GError **error)
{
  g_auto(Qcow2Check) second = {.again = true};
  int r = first->result.corruptions + first->result.leaks ? mend(first) : 0;
  if (r < 0)
    return set_mend_failure(r, error);
  if (!run(&second, first->q, BG_FIX_NONE, first->watcher, error))
    return false;
  if (second.result.corruptions + second.result.check_errors == 0)
    r = take_marks_off(&second);
  if (r < 0)
    return set_mend_failure(r, error);
  *result = second.result;
  result->corruptions_fixed = first->result.corruptions - MIN(first->result.corruptions, result->corruptions);
  result->leaks_fixed = first->result.leaks - MIN(first->result.leaks, result->leaks);
  return true;
}

bool qcow2_check(void *instance, BgFix fix, BgCheckWatcher *watcher, BgCheckResult *result, GError **error)
{
  Qcow2 *q = instance;
  g_auto(Qcow2Check) check = {0};
  if (!run(&check, q, fix, watcher, error))
    return false;
  if (fix != BG_FIX_NONE && check.result.check_errors == 0)
    return mend_and_look(&check, result, error) && qcow2_reload(q, error);
  *result = check.result;
  return true;
}

/* ── the first writer ── */

typedef struct Patience {
  BgCheckWatcher watcher;
  gint64 until; /* monotonic µs */
} Patience;

static void ignore_finding(BgCheckWatcher *watcher, const char *text)
{
  (void)watcher;
  (void)text;
}

static bool has_time(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  (void)done;
  (void)total;
  return g_get_monotonic_time() < ((Patience *)watcher)->until;
}

static bool refuse_dirty(GError **error, const GError *failure)
{
  if (failure->code == ECANCELED)
    bg_set_error(error, EBUSY,
                 "The image was not closed cleanly, and to mend it takes longer than a writer can wait: "
                 "use 'blockgraphfs check --repair all'");
  else
    bg_set_error(error, failure->code, "The image was not closed cleanly and could not be mended: %s",
                 failure->message);
  return false;
}

bool qcow2_check_dirty(Qcow2 *q, GError **error)
{
  Patience patience = {{ignore_finding, has_time}, g_get_monotonic_time() + DIRTY_SECONDS * G_USEC_PER_SEC};
  g_auto(Qcow2Check) check = {0};
  g_autoptr(GError) failure = NULL;
  BgCheckResult result;
  if (!run(&check, q, BG_FIX_ALL, &patience.watcher, &failure))
    return refuse_dirty(error, failure);
  if (check.found[QCOW2_STRUCTURE] || check.result.check_errors) {
    bg_set_error(error, EROFS, "The image was not closed cleanly and is damaged: %s",
                 check.damage ? check.damage : "some of its metadata cannot be read");
    return false;
  }
  if (!mend_and_look(&check, &result, &failure))
    return refuse_dirty(error, failure);
  if (result.corruptions + result.check_errors == 0)
    return true;
  bg_set_error(error, EROFS, "The image was not closed cleanly and could not be mended wholly");
  return false;
}
