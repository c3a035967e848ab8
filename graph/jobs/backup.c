#include "graph/jobs/backup.h"

#include "graph/bitmaps.h"
#include "graph/change.h"
#include "graph/io.h"
#include "graph/jobs/chain.h"
#include "graph/jobs/copy.h"
#include "graph/jobs/crew.h"
#include "graph/jobs/work.h"
#include "graph/map.h"
#include "graph/step.h"

#include <errno.h>
#include <stdlib.h>

#define GRANULARITY_BITS 16u

enum {
  IDLE_MS = 1000, /* of a job that only waits for writers */
};

/* What writers meet. Lives until no writer can be in it, even where that is only when the node ends. */
typedef struct Keeper {
  BgBeforeWrite watcher;
  BgNode *source;
  BgBitmaps *bitmaps; /* holds the two below */
  BgBitmap *left;     /* to be copied */
  BgBitmap *initial;  /* what the user's bitmap marked; NULL: there is none */
  BgRanges ranges;    /* being copied; taken after those of the source, before those of the target */
  atomic_int failed;  /* errno of a copy that a writer made; the job is lost then */
  atomic_bool idle;   /* nothing is kept any more */
} Keeper;

typedef struct Backup {
  BgCopy copy;
  Keeper *keeper; /* NULL: not there yet, or any more */
  BgSync sync;
  BgBitmapMode bitmap_mode;
  char *bitmap; /* NULL: none */
  BgCopyPolicy on_error;
  bool succeeded;
} Backup;

/* ── keeping what was: by writers and by the job, inside a gate ── */

/* One run of what is left, of at most a piece, whose range is held. */
static int copy_held(Keeper *keeper, uint64_t start, uint64_t length, void *buffer, bool *reading)
{
  struct iovec iov = {buffer, length};
  BgStatus status = {false, 0};
  *reading = true;
  int result = bg_io_status(keeper->source, start, length, &status);
  bool zero = result == 0 && status.zero && status.length >= length;
  if (result == 0 && !zero)
    result = bg_io_preadv(keeper->source, &iov, 1, start);
  if (result == 0) {
    *reading = false;
    result = zero ? bg_io_zero(keeper->watcher.target, start, length, BG_ZERO_MAY_UNMAP, true)
                  : bg_io_pwritev(keeper->watcher.target, &iov, 1, start);
  }
  if (result == 0)
    bg_bitmap_clear(keeper->left, start, length);
  return result;
}

/* Whole granules within the disk, at most a piece; `buffer` is for one. */
static int copy_range(Keeper *keeper, uint64_t start, uint64_t length, void *buffer, bool *reading)
{
  BgRange range;
  uint64_t at = start, end = start + length, first, run;
  int result = 0;
  bg_ranges_lock(&keeper->ranges, &range, start, length, true);
  while (result == 0 && bg_bitmap_next_before(keeper->left, at, end, &first, &run)) {
    result = copy_held(keeper, first, run, buffer, reading);
    at = first + run;
  }
  bg_ranges_unlock(&keeper->ranges, &range);
  return result;
}

static void lose(Keeper *keeper, int result)
{
  int none = 0;
  atomic_compare_exchange_strong(&keeper->failed, &none, -result);
  atomic_store(&keeper->idle, true);
}

/* By a writer. Nothing is left there mostly. */
static int keep_range(Keeper *keeper, uint64_t start, uint64_t length)
{
  uint64_t first, run;
  bool reading;
  if (!bg_bitmap_next_before(keeper->left, start, start + length, &first, &run))
    return 0;
  void *buffer = bg_copy_buffer();
  int result = buffer ? copy_range(keeper, start, length, buffer, &reading) : -ENOMEM;
  free(buffer);
  return result;
}

static void before_write(BgBeforeWrite *watcher, uint64_t offset, uint64_t length)
{
  Keeper *keeper = (Keeper *)((char *)watcher - offsetof(Keeper, watcher));
  uint64_t granule = UINT64_C(1) << GRANULARITY_BITS, size = bg_bitmap_size(keeper->left);
  if (offset >= size || !length)
    return;
  uint64_t end = offset + MIN(length, size - offset);
  for (uint64_t at = offset & ~(granule - 1); at < end && !atomic_load(&keeper->idle);) {
    uint64_t piece = MIN(MIN(end + granule - 1, UINT64_MAX - granule) & ~(granule - 1), size) - at;
    piece = MIN(piece, BG_COPY_PIECE);
    int result = keep_range(keeper, at, piece);
    if (result)
      lose(keeper, result);
    at += piece;
  }
}

/* ── the keeper ── */

static void keeper_free(Keeper *keeper)
{
  if (!keeper)
    return;
  bg_ranges_clear(&keeper->ranges);
  bg_bitmaps_free(keeper->bitmaps);
  g_free(keeper);
}

static BgBitmap *add_bitmap(BgBitmaps *bitmaps, const char *name, uint64_t size, GError **error)
{
  BgBitmapSpec spec = {.name = name, .granularity_bits = GRANULARITY_BITS, .size = size};
  return bg_bitmaps_add(bitmaps, &spec, error);
}

static Keeper *keeper_new(Backup *backup, GError **error)
{
  int64_t size = bg_node_size_inside(backup->copy.source);
  Keeper *keeper = g_new0(Keeper, 1);
  keeper->watcher = (BgBeforeWrite){.before = before_write, .target = backup->copy.target};
  keeper->source = backup->copy.source;
  keeper->bitmaps = bg_bitmaps_new();
  bg_ranges_init(&keeper->ranges);
  keeper->left = add_bitmap(keeper->bitmaps, "left", (uint64_t)MAX(size, 0), error);
  if (keeper->left && backup->bitmap)
    keeper->initial = add_bitmap(keeper->bitmaps, "initial", (uint64_t)MAX(size, 0), error);
  if (keeper->left && (keeper->initial || !backup->bitmap))
    return keeper;
  keeper_free(keeper);
  return NULL;
}

/* ── the beginning and the end: no request is in the source ── */

static BgBitmap *find_bitmap(const Backup *backup, GError **error)
{
  BgBitmaps *bitmaps = backup->copy.source->host.bitmaps;
  BgBitmap *bitmap = bg_bitmaps_find(bitmaps, backup->bitmap);
  const char *user = bitmap ? bg_bitmap_user(bitmaps, bitmap) : NULL;
  if (!bitmap)
    bg_set_error(error, ENOENT, "node '%s' has no bitmap '%s'", backup->copy.source->name, backup->bitmap);
  else if (bg_bitmap_is_inconsistent(bitmap))
    bg_set_error(error, EINVAL, "the bitmap '%s' of node '%s' is inconsistent", backup->bitmap,
                 backup->copy.source->name);
  else if (user)
    bg_set_error(error, EBUSY, "the bitmap '%s' of node '%s' is in use by %s", backup->bitmap,
                 backup->copy.source->name, user);
  else
    return bitmap;
  return NULL;
}

static bool begin(void *data, GError **error)
{
  Backup *backup = data;
  BgBitmap *bitmap = backup->bitmap ? find_bitmap(backup, error) : NULL;
  Keeper *keeper = bitmap || !backup->bitmap ? keeper_new(backup, error) : NULL;
  if (!keeper)
    return false;
  if (bitmap && !bg_bitmap_touch(backup->copy.source, bitmap, error)) {
    keeper_free(keeper);
    return false;
  }
  if (bitmap) {
    bg_bitmap_merge(keeper->initial, bitmap);
    bg_bitmap_merge(keeper->left, bitmap);
    if (backup->bitmap_mode != BG_BITMAP_NEVER)
      bg_bitmap_clear(bitmap, 0, UINT64_MAX);
    bg_bitmap_set_user(backup->copy.source->host.bitmaps, bitmap, backup->copy.chain.freeze.what);
  } else {
    bg_bitmap_set(keeper->left, 0, UINT64_MAX);
  }
  bg_before_write_add(backup->copy.source, &keeper->watcher);
  backup->keeper = keeper;
  return true;
}

/* A bitmap that went with its image is not brought back. */
static void give_bitmap_back(const Backup *backup)
{
  BgBitmaps *bitmaps = backup->copy.source->host.bitmaps;
  BgBitmap *bitmap = backup->bitmap ? bg_bitmaps_find(bitmaps, backup->bitmap) : NULL;
  if (!bitmap)
    return;
  bg_bitmap_set_user(bitmaps, bitmap, NULL);
  if (backup->succeeded || backup->bitmap_mode == BG_BITMAP_NEVER)
    return;
  bg_bitmap_merge(bitmap, backup->bitmap_mode == BG_BITMAP_ALWAYS ? backup->keeper->left : backup->keeper->initial);
}

static bool end(void *data, GError **error)
{
  Backup *backup = data;
  (void)error;
  bg_before_write_remove(backup->copy.source, &backup->keeper->watcher);
  give_bitmap_back(backup);
  g_clear_pointer(&backup->keeper, keeper_free);
  return true;
}

/* Where requests do not end, what they may still look at stays with the node and does nothing. */
static void remove_keeper(Backup *backup)
{
  g_autoptr(GError) error = NULL;
  if (!backup->keeper)
    return;
  atomic_store(&backup->keeper->idle, true);
  if (bg_copy_run_alone(&backup->copy, end, NULL, backup, &error))
    return;
  g_warning("node '%s': %s does not get out of the writers' way: %s", backup->copy.source->name,
            backup->copy.chain.freeze.what, error->message);
  give_bitmap_back(backup);
}

static void backup_clean(void *work)
{
  Backup *backup = work;
  remove_keeper(backup);
  bg_copy_clear(&backup->copy);
  g_free(backup->bitmap);
  g_free(backup);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Backup, backup_clean)

/* ── the job ── */

static bool check_kept(const Backup *backup, GError **error)
{
  int failed = atomic_load(&backup->keeper->failed);
  if (failed)
    bg_set_error_errno(error, failed, "What a writer was about to write over could not be kept");
  return !failed;
}

/* Granules of which the image itself holds nothing are not copied, now or by writers. */
static bool leave_out_backing(BgJob *job, Backup *backup, GError **error)
{
  uint64_t granule = UINT64_C(1) << GRANULARITY_BITS, size = bg_bitmap_size(backup->keeper->left);
  for (uint64_t at = 0, end; at < size; at = end) {
    BgMapped mapped;
    int result = bg_user_map(backup->copy.from, at, &mapped);
    if (result) {
      bg_set_error_errno(error, -result, "Cannot read");
      return false;
    }
    end = at + mapped.length;
    uint64_t first = (at + granule - 1) & ~(granule - 1), last = end == size ? end : end & ~(granule - 1);
    if (mapped.depth > 0 && first < last)
      bg_bitmap_clear(backup->keeper->left, first, last - first);
    if (!bg_job_go_on(job))
      return false;
  }
  return true;
}

static int see_to(void *work, BgPiece *piece)
{
  const Backup *backup = work;
  g_auto(BgRequest) request = bg_request_begin(backup->copy.from);
  return copy_range(backup->keeper, piece->offset, piece->length, piece->buffer, &piece->reading);
}

/* What is passed over stays to be copied, by the next pass or a writer. */
static BgCopyVerdict failed(BgJob *job, void *work, const BgPiece *piece, int result, GError **error)
{
  const Backup *backup = work;
  return bg_copy_failed_for_now(job, &backup->on_error, piece, result, error);
}

/* A run; what writers have kept meanwhile of it costs nothing. */
static bool copy_run(BgJob *job, Backup *backup, BgCrew *crew, uint64_t start, uint64_t length, GError **error)
{
  for (uint64_t end = start + length; start < end; start += length) {
    length = MIN(end - start, bg_job_piece(job, BG_COPY_PIECE));
    if (!check_kept(backup, error) || !bg_crew_give(crew, start, length, false, error) || !bg_job_throttle(job, length))
      return false;
  }
  return true;
}

/* All that is left, once. */
static bool pass(BgJob *job, Backup *backup, BgCrew *crew, GError **error)
{
  uint64_t start, length;
  for (uint64_t at = 0; bg_bitmap_next(backup->keeper->left, at, &start, &length); at = start + length)
    if (!copy_run(job, backup, crew, start, length, error))
      return false;
  return bg_crew_finish(crew, error);
}

static bool copy_all(BgJob *job, Backup *backup, GError **error)
{
  static const BgCrewKind kind = {see_to, failed};
  g_autoptr(BgCrew) crew = bg_crew_new(job, &kind, backup, error);
  while (crew && bg_bitmap_dirty(backup->keeper->left))
    if (!pass(job, backup, crew, error))
      return false;
  return crew;
}

static bool wait_for_writers(BgJob *job, Backup *backup, GError **error)
{
  while (check_kept(backup, error))
    if (!bg_job_sleep(job, IDLE_MS * 1000))
      return false;
  return false;
}

static bool backup_run(BgJob *job, void *work, GError **error)
{
  Backup *backup = work;
  if (backup->sync == BG_SYNC_TOP && !leave_out_backing(job, backup, error))
    return false;
  bg_job_set_total(job, bg_bitmap_dirty(backup->keeper->left));
  if (backup->sync == BG_SYNC_NONE)
    return wait_for_writers(job, backup, error);
  if (!copy_all(job, backup, error))
    return false;
  int result = bg_user_flush(backup->copy.to);
  if (result)
    bg_set_error_errno(error, -result, "Cannot write out the target");
  return result == 0 && check_kept(backup, error);
}

/* The copy is whole: what is left of the job, in the writers' way or in the bitmap, is taken away when it ends. */
static bool backup_finish(BgJob *job, void *work, GError **error)
{
  (void)job, (void)error;
  ((Backup *)work)->succeeded = true;
  return true;
}

static const BgJobKind backup_kind = {
    .type = "backup", .block = true, .run = backup_run, .finish = backup_finish, .clean = backup_clean};

/* ── the start ── */

static bool check_options(const BgJobBackup *options, GError **error)
{
  bool by_bitmap = options->sync == BG_SYNC_INCREMENTAL || options->sync == BG_SYNC_BITMAP;
  if (options->source == options->target)
    bg_set_error(error, EINVAL, "source and target are both node '%s'", bg_node_name(options->source));
  else if (by_bitmap != (options->bitmap != NULL))
    bg_set_error(error, EINVAL,
                 by_bitmap ? "Which bitmap says what to copy must be named"
                           : "No bitmap says what to copy in this sync mode");
  else if (options->sync == BG_SYNC_INCREMENTAL && options->bitmap_mode != BG_BITMAP_ON_SUCCESS)
    bg_set_error(error, EINVAL, "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'");
  else
    return true;
  return false;
}

/* A bitmap in the image stays in memory for as long as somebody writes. */
static bool stand(Backup *backup, GError **error)
{
  BgCopy *copy = &backup->copy;
  BgPerm perm = BG_PERM_CONSISTENT_READ | (backup->bitmap ? BG_PERM_WRITE_UNCHANGED : BG_PERM_NONE);
  return bg_copy_open(copy, perm, bg_copy_shared_with_writers(copy->source), error) && bg_copy_grow(copy, error);
}

/* Stands on its nodes; begun it is not. */
static Backup *backup_new(BgGraph *graph, const BgJobBackup *options, GError **error)
{
  if (!bg_jobs_check_id(graph, options->settings.id, error) || !check_options(options, error) ||
      !bg_copy_check_sizes(options->source, options->target, error))
    return NULL;
  g_autoptr(Backup) backup = g_new0(Backup, 1);
  g_autofree char *what = g_strdup_printf("backup job '%s'", options->settings.id);
  backup->copy.source = options->source;
  backup->copy.target = options->target;
  backup->sync = options->sync;
  backup->bitmap = g_strdup(options->bitmap);
  backup->bitmap_mode = options->bitmap_mode;
  backup->on_error = (BgCopyPolicy){options->on_source_error, options->on_target_error};
  bg_chain_init(&backup->copy.chain, graph, what);
  if (!bg_chain_guard_storage(&backup->copy.chain, backup->copy.source, error) || !stand(backup, error))
    return NULL;
  return g_steal_pointer(&backup);
}

BgJob *bg_job_backup(BgGraph *graph, const BgJobBackup *options, GError **error)
{
  g_autoptr(Backup) backup = backup_new(graph, options, error);
  if (!backup || !bg_copy_run_alone(&backup->copy, begin, NULL, backup, error))
    return NULL;
  return bg_job_start(graph, &backup_kind, &options->settings, g_steal_pointer(&backup), error);
}

/* ── as a step of a transaction ── */

typedef struct BackupStep {
  BgStep step;
  BgJob *job;     /* prepared */
  Backup *backup; /* its work */
} BackupStep;

static bool step_propose(BgStep *step, BgProposal *proposal, GError **error)
{
  (void)error;
  bg_proposal_drain(proposal, ((BackupStep *)step)->backup->copy.source);
  return true;
}

static bool step_act(BgStep *step, GError **error)
{
  return begin(((BackupStep *)step)->backup, error);
}

static void step_undo(BgStep *step)
{
  end(((BackupStep *)step)->backup, NULL);
}

static void step_end(BgStep *base, bool done)
{
  BackupStep *step = (BackupStep *)base;
  (done ? bg_job_launch : bg_job_drop)(step->job);
  g_free(step);
}

BgStep *bg_backup_step_new(BgGraph *graph, const BgJobBackup *options, BgJobGroup *group, GError **error)
{
  static const BgStepKind kind = {.propose = step_propose, .act = step_act, .undo = step_undo, .end = step_end};
  Backup *backup = backup_new(graph, options, error);
  BgJob *job = backup ? bg_job_prepare(graph, &backup_kind, &options->settings, group, backup, error) : NULL;
  if (!job)
    return NULL;
  BackupStep *step = g_new0(BackupStep, 1);
  *step = (BackupStep){{&kind}, job, backup};
  return &step->step;
}
