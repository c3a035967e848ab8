#include "graph/jobs/mirror.h"

#include "graph/change.h"
#include "graph/events.h"
#include "graph/io.h"
#include "graph/jobs/chain.h"
#include "graph/jobs/copy.h"
#include "graph/jobs/crew.h"
#include "graph/map.h"
#include "graph/replace.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define GRANULARITY     65536u
#define MIN_GRANULARITY 512u
#define MAX_GRANULARITY (64u << 20)

/* So much is taken out of the bitmap at once; and so much may be left when the requests are stopped at the end. */
#define BATCH     (UINT64_C(16) << 20)
#define LAST_MOST (UINT64_C(8) << 20)

/* And so much before, so that little comes to be left while the rest is copied. */
#define CLOSE_BY (LAST_MOST / 8)

enum {
  BATCH_RUNS = 256,
  POLL_MS = 20,       /* of a ready job: the bitmap has no alarm */
  LAST_ATTEMPTS = 20, /* at stopping the requests */
};

typedef struct Run {
  uint64_t start, length;
} Run;

typedef struct Mirror {
  BgCopy copy;
  unsigned depth; /* so many disks from the source on down are copied; UINT_MAX: all */
  bool nothing;   /* of what is there: only what comes */
  unsigned granularity_bits;
  BgCopyPolicy on_error;
  BgBitmap *bitmap; /* the source's; NULL: not there yet, or any more */
  bool behind;      /* not all that was dirty when the last batch was taken has been copied */
  BgCrew *crew;
} Mirror;

/* ── the bitmap ── */

static void drain_target(void *data, BgProposal *proposal)
{
  Mirror *mirror = data;
  bg_proposal_drain(proposal, mirror->copy.target);
}

static bool add_bitmap(void *data, GError **error)
{
  Mirror *mirror = data;
  int64_t size = bg_node_size_inside(mirror->copy.source);
  BgBitmapSpec spec = {.name = mirror->copy.chain.freeze.what,
                       .granularity_bits = mirror->granularity_bits,
                       .size = (uint64_t)MAX(size, 0),
                       .recording = true,
                       .internal = true};
  mirror->bitmap = bg_bitmaps_add(mirror->copy.source->host.bitmaps, &spec, error);
  return mirror->bitmap != NULL;
}

static bool remove_bitmap(void *data, GError **error)
{
  Mirror *mirror = data;
  (void)error;
  bg_bitmaps_remove(mirror->copy.source->host.bitmaps, mirror->bitmap);
  mirror->bitmap = NULL;
  return true;
}

/* Where it cannot be removed, for requests do not end, it stays with the node and records nothing. */
static void give_up_bitmap(Mirror *mirror)
{
  g_autoptr(GError) error = NULL;
  if (!mirror->bitmap)
    return;
  bg_bitmap_set_recording(mirror->copy.source->host.bitmaps, mirror->bitmap, false);
  if (!bg_copy_run_alone(&mirror->copy, remove_bitmap, drain_target, mirror, &error))
    g_message("node '%s': a bitmap stays: %s", mirror->copy.source->name, error->message);
}

static void mirror_clean(void *work)
{
  Mirror *mirror = work;
  bg_crew_free(mirror->crew);
  give_up_bitmap(mirror);
  bg_copy_clear(&mirror->copy);
  g_free(mirror);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mirror, mirror_clean)

/* ── copying ── */

/* The requests that may have marked what was taken, and not have written it yet, are done. False: cancelled. */
static bool wait_for_requests(BgJob *job, const Mirror *mirror)
{
  BgEpoch *epoch = mirror->copy.source->graph->epoch;
  uint64_t now = bg_epoch_now(epoch);
  for (unsigned i = 0; !bg_epoch_passed(epoch, now); i++) {
    g_usleep(i < 20 ? 20 : 500);
    if (!bg_job_go_on(job))
      return false;
  }
  return true;
}

static int see_to(void *work, BgPiece *piece)
{
  const Mirror *mirror = work;
  return bg_copy_piece(mirror->copy.from, mirror->copy.to, piece);
}

/* What is passed over is dirty again, and comes with a later batch. */
static BgCopyVerdict failed(BgJob *job, void *work, const BgPiece *piece, int result, GError **error)
{
  Mirror *mirror = work;
  BgCopyVerdict verdict = bg_copy_failed_for_now(job, &mirror->on_error, piece, result, error);
  if (verdict == BG_COPY_PAST) {
    bg_bitmap_set(mirror->bitmap, piece->offset, piece->length);
    mirror->behind = true;
  }
  return verdict;
}

/* Hands over what can be seen to in one piece. */
static bool give_piece(BgJob *job, Mirror *mirror, Run *run, GError **error)
{
  uint64_t most = MIN(run->length, bg_job_piece(job, BG_COPY_PIECE));
  BgStatus status = {.length = most};
  int result = bg_user_status(mirror->copy.from, run->start, &status);
  if (result == -ENXIO) { /* it shrank */
    run->length = 0;
    return true;
  }
  uint64_t length = MIN(most, status.length);
  if (!bg_crew_give(mirror->crew, run->start, length, result == 0 && status.zero, error))
    return false;
  run->start += length;
  run->length -= length;
  return bg_job_throttle(job, length);
}

static bool copy_run(BgJob *job, Mirror *mirror, Run run, GError **error)
{
  while (run.length)
    if (!give_piece(job, mirror, &run, error))
      return false;
  return true;
}

/* Up to a batch of what is dirty; how many runs. */
static unsigned take_batch(Mirror *mirror, Run runs[BATCH_RUNS])
{
  unsigned count = 0;
  uint64_t left = BATCH, offset = 0;
  while (count < BATCH_RUNS && left > 0 &&
         bg_bitmap_take(mirror->bitmap, offset, left, &runs[count].start, &runs[count].length)) {
    offset = runs[count].start + runs[count].length;
    left -= MIN(left, runs[count].length);
    count++;
  }
  mirror->behind = count == BATCH_RUNS || left == 0;
  return count;
}

/* Copies what is dirty now, to the end: what is written meanwhile is dirty anew, and copied after it. False: cancelled, or failed. */
static bool copy_batch(BgJob *job, Mirror *mirror, GError **error)
{
  Run runs[BATCH_RUNS];
  unsigned count = take_batch(mirror, runs);
  if (count && !wait_for_requests(job, mirror))
    return false;
  for (unsigned i = 0; i < count; i++)
    if (!copy_run(job, mirror, runs[i], error))
      return false;
  return bg_crew_finish(mirror->crew, error);
}

/* ── until ready, and on ── */

/* What is there at the beginning and has to be copied is dirty. */
static bool mark_all(BgJob *job, Mirror *mirror, uint64_t size, GError **error)
{
  for (uint64_t offset = 0; offset < size && !mirror->nothing;) {
    BgMapped mapped = {.length = size, .depth = 0};
    int result = mirror->depth == UINT_MAX ? 0 : bg_user_map(mirror->copy.from, offset, &mapped);
    if (result) {
      bg_set_error_errno(error, -result, "Cannot read");
      return false;
    }
    if (mapped.depth < mirror->depth)
      bg_bitmap_set(mirror->bitmap, offset, mapped.length);
    offset += mapped.length;
    if (!bg_job_go_on(job))
      return false;
  }
  return true;
}

static void show_progress(BgJob *job, const Mirror *mirror)
{
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  bg_job_set_total(job, info.current + bg_bitmap_dirty(mirror->bitmap));
}

/* A mark of the bitmap may stand for more. */
static uint64_t at_least_a_mark(const Mirror *mirror, uint64_t bytes)
{
  return MAX(bytes, UINT64_C(1) << mirror->granularity_bits);
}

/* The target is what the source was a moment ago, and little was written since. The moment in which nothing was may never come: somebody who
 * writes all the time writes during each batch. */
static bool is_close(const Mirror *mirror)
{
  return !mirror->behind && bg_bitmap_dirty(mirror->bitmap) <= at_least_a_mark(mirror, CLOSE_BY);
}

static bool check_bitmap(const Mirror *mirror, GError **error)
{
  if (!bg_bitmap_is_inconsistent(mirror->bitmap))
    return true;
  bg_set_error(error, ENOMEM, "node '%s': what changes cannot be kept track of any more", mirror->copy.source->name);
  return false;
}

static bool mirror_run(BgJob *job, void *work, GError **error)
{
  static const BgCrewKind crew = {see_to, failed};
  Mirror *mirror = work;
  int64_t size = bg_node_size(mirror->copy.source);
  if (size < 0) {
    bg_set_error_errno(error, (int)-size, "node '%s': its size is not known", mirror->copy.source->name);
    return false;
  }
  mirror->crew = bg_crew_new(job, &crew, mirror, error);
  if (!mirror->crew || !mark_all(job, mirror, (uint64_t)size, error))
    return false;
  for (;;) {
    show_progress(job, mirror);
    if (!check_bitmap(mirror, error) || !bg_copy_grow(&mirror->copy, error) || !copy_batch(job, mirror, error))
      return false;
    if (!is_close(mirror))
      continue;
    bg_job_set_ready(job);
    if (bg_job_wish(job) != BG_JOB_STAYS)
      return true;
    if (!bg_job_sleep(job, POLL_MS * 1000))
      return false;
  }
}

/* ── the end ── */

static int copy_alone(Mirror *mirror, uint64_t offset, uint64_t length, void *buffer)
{
  struct iovec iov = {buffer, length};
  int result = bg_io_preadv(mirror->copy.source, &iov, 1, offset);
  return result ? result : bg_io_pwritev(mirror->copy.target, &iov, 1, offset);
}

static int copy_rest_alone(Mirror *mirror)
{
  void *buffer = bg_copy_buffer();
  uint64_t start, length;
  int result = buffer ? 0 : -ENOMEM;
  while (result == 0 && bg_bitmap_take(mirror->bitmap, 0, BG_COPY_PIECE, &start, &length)) {
    for (uint64_t done = 0; done < length && result == 0; done += BG_COPY_PIECE)
      result = copy_alone(mirror, start + done, MIN(length - done, BG_COPY_PIECE), buffer);
    if (result)
      bg_bitmap_set(mirror->bitmap, start, length);
  }
  free(buffer);
  return result ? result : bg_io_flush(mirror->copy.target);
}

/* The last bytes, with nobody inside. */
static bool make_same(void *data, GError **error)
{
  Mirror *mirror = data;
  BgEpoch *epoch = mirror->copy.source->graph->epoch;
  int64_t from = bg_node_size_inside(mirror->copy.source), to = bg_node_size_inside(mirror->copy.target);
  if (from > to || bg_bitmap_dirty(mirror->bitmap) > at_least_a_mark(mirror, LAST_MOST)) {
    bg_set_error(error, EAGAIN, "node '%s' is changed too fast", mirror->copy.source->name);
    return false;
  }
  unsigned token = bg_epoch_enter(epoch);
  int result = copy_rest_alone(mirror);
  bg_epoch_leave(epoch, token);
  if (result)
    bg_set_error_errno(error, -result, "The target cannot be made the same");
  return result == 0 && remove_bitmap(mirror, error);
}

static void give_up_users(void *data, BgProposal *proposal)
{
  Mirror *mirror = data;
  drain_target(mirror, proposal);
  bg_proposal_hold(proposal, &mirror->copy.from->hold, BG_PERM_NONE, BG_PERM_ALL);
  bg_proposal_hold(proposal, &mirror->copy.to->hold, BG_PERM_NONE, BG_PERM_ALL);
  for (guint i = 0; mirror->copy.chain.guards && i < mirror->copy.chain.guards->len; i++)
    bg_proposal_hold(proposal, &((BgUser *)mirror->copy.chain.guards->pdata[i])->hold, BG_PERM_NONE, BG_PERM_ALL);
}

static void take_place(void *data, BgProposal *proposal)
{
  Mirror *mirror = data;
  give_up_users(mirror, proposal);
  bg_replace_propose(proposal, mirror->copy.source, mirror->copy.target);
}

/* Most of what is dirty, while requests go on: the verbs do not reach the job any more, so it ends when it does not get less. */
static bool catch_up(BgJob *job, Mirror *mirror, GError **error)
{
  uint64_t before = UINT64_MAX, few = at_least_a_mark(mirror, CLOSE_BY);
  for (uint64_t dirty; (dirty = bg_bitmap_dirty(mirror->bitmap)) > few && dirty < before; before = dirty)
    if (!bg_copy_grow(&mirror->copy, error) || !copy_batch(job, mirror, error))
      return false;
  int result = bg_user_flush(mirror->copy.to);
  if (result)
    bg_set_error_errno(error, -result, "Cannot write out the target");
  return result == 0;
}

static bool mirror_finish(BgJob *job, void *work, GError **error)
{
  Mirror *mirror = work;
  bool completes = bg_job_wish(job) == BG_JOB_COMPLETES;
  for (int i = 0; i < LAST_ATTEMPTS; i++) {
    g_autoptr(GError) refusal = NULL;
    if (!catch_up(job, mirror, error))
      return false;
    if (bg_copy_run_alone(&mirror->copy, make_same, completes ? take_place : give_up_users, mirror, &refusal)) {
      if (completes)
        bg_events_replaced(mirror->copy.source, mirror->copy.target);
      return true;
    }
    if (i + 1 == LAST_ATTEMPTS || (refusal->code != EAGAIN && refusal->code != EBUSY)) {
      g_propagate_error(error, g_steal_pointer(&refusal));
      return false;
    }
  }
  return false;
}

/* The layers above base are in nobody's way any more. */
static bool commit_finish(BgJob *job, void *work, GError **error)
{
  Mirror *mirror = work;
  bool completes = bg_job_wish(job) == BG_JOB_COMPLETES;
  if (!mirror_finish(job, work, error))
    return false;
  g_clear_pointer(&mirror->copy.from, bg_user_free);
  if (completes)
    bg_chain_drop_unused(&mirror->copy.chain);
  return true;
}

static const BgJobKind mirror_kind = {.type = "mirror",
                                      .block = true,
                                      .completes = true,
                                      .run = mirror_run,
                                      .finish = mirror_finish,
                                      .clean = mirror_clean};
static const BgJobKind commit_kind = {.type = "commit",
                                      .block = true,
                                      .completes = true,
                                      .run = mirror_run,
                                      .finish = commit_finish,
                                      .clean = mirror_clean};

/* ── the start ── */

static bool stand(Mirror *mirror, GError **error)
{
  BgCopy *copy = &mirror->copy;
  return bg_copy_open(copy, BG_PERM_CONSISTENT_READ, bg_copy_shared_with_writers(copy->source), error) &&
         bg_copy_grow(copy, error) && bg_copy_run_alone(copy, add_bitmap, drain_target, mirror, error);
}

static Mirror *mirror_new(BgNode *source, BgNode *target, unsigned granularity)
{
  Mirror *mirror = g_new0(Mirror, 1);
  mirror->copy.source = source;
  mirror->copy.target = target;
  mirror->depth = UINT_MAX;
  mirror->granularity_bits = g_bit_storage(granularity) - 1;
  return mirror;
}

static bool check_options(const BgJobMirror *options, GError **error)
{
  uint32_t granularity = options->granularity;
  if (options->source == options->target)
    bg_set_error(error, EINVAL, "source and target are both node '%s'", options->source->name);
  else if (granularity &&
           (granularity & (granularity - 1) || granularity < MIN_GRANULARITY || granularity > MAX_GRANULARITY))
    bg_set_error(error, EINVAL, "The granularity must be a power of two from 512 bytes to 64 MiB");
  else if (options->sync > BG_SYNC_NONE)
    bg_set_error(error, EINVAL, "Mirrors have no bitmap of the user's");
  else
    return true;
  return false;
}

BgJob *bg_job_mirror(BgGraph *graph, const BgJobMirror *options, GError **error)
{
  if (!bg_jobs_check_id(graph, options->settings.id, error) || !check_options(options, error))
    return NULL;
  g_autoptr(Mirror) mirror =
      mirror_new(options->source, options->target, options->granularity ? options->granularity : GRANULARITY);
  g_autofree char *what = g_strdup_printf("mirror job '%s'", options->settings.id);
  mirror->depth = options->sync == BG_SYNC_TOP ? 1 : UINT_MAX;
  mirror->nothing = options->sync == BG_SYNC_NONE;
  mirror->on_error = (BgCopyPolicy){options->on_source_error, options->on_target_error};
  bg_chain_init(&mirror->copy.chain, graph, what);
  if (!bg_copy_check_sizes(mirror->copy.source, mirror->copy.target, error) ||
      !bg_chain_guard_storage(&mirror->copy.chain, mirror->copy.source, error) || !stand(mirror, error))
    return NULL;
  return bg_job_start(graph, &mirror_kind, &options->settings, g_steal_pointer(&mirror), error);
}

BgJob *bg_job_commit_active(BgGraph *graph, const BgJobCommit *options, GError **error)
{
  g_autoptr(Mirror) mirror = mirror_new(options->device, options->base, GRANULARITY);
  g_autofree char *what = g_strdup_printf("commit job '%s'", options->settings.id);
  mirror->on_error = (BgCopyPolicy){options->on_error, options->on_error};
  if (!bg_copy_check_sizes(mirror->copy.source, mirror->copy.target, error) ||
      !bg_chain_freeze(&mirror->copy.chain, NULL, options->device, options->base, what, error))
    return NULL;
  mirror->depth = mirror->copy.chain.depth;
  bg_freeze_lift_read_only(&mirror->copy.chain.freeze, options->base);
  if (!bg_chain_guard_storage(&mirror->copy.chain, mirror->copy.source, error) || !stand(mirror, error))
    return NULL;
  return bg_job_start(graph, &commit_kind, &options->settings, g_steal_pointer(&mirror), error);
}
