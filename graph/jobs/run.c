/* A job's thread: its way through the states, and where it waits. */
#include "drivers/clock.h"
#include "graph/events.h"
#include "graph/jobs/private.h"

#include <errno.h>

/* A low speed must not make one piece of work take longer than this. */
enum { PIECES_PER_SECOND = 10 };
#define PIECE_MIN (64u * 1024)

/* ── telling ── */

static void tell(BgJob *job, const BgJobEvent *event)
{
  g_auto(BgJobInfo) info;
  BgJobEvent full = *event;
  bg_job_info(job, &info);
  full.info = &info;
  bg_events_job(job->graph, &full);
}

/* Block-job events come from block jobs. */
static void tell_if_meant(BgJob *job, BgJobEventKind kind)
{
  if (kind == BG_JOB_EVENT_STATUS || job->kind->block)
    tell(job, &(BgJobEvent){.kind = kind});
}

static void set_status(BgJob *job, BgJobStatus status)
{
  pthread_mutex_lock(&job->lock);
  job->status = status;
  pthread_cond_broadcast(&job->wake); /* who dismisses the job waits for its end */
  pthread_mutex_unlock(&job->lock);
  tell_if_meant(job, BG_JOB_EVENT_STATUS);
}

/* ── waiting ── */

/* With the lock held: sleeps until a verb comes, or that time (INT64_MAX: no bound). False: the time has come. */
static bool wait_for_verb(BgJob *job, int64_t until)
{
  struct timespec when = bg_clock_at(until);
  job->asleep = true;
  int result = until == INT64_MAX ? pthread_cond_wait(&job->wake, &job->lock)
                                  : pthread_cond_timedwait(&job->wake, &job->lock, &when);
  job->asleep = false;
  return result != ETIMEDOUT;
}

static bool pause_due(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  bool due = job->pause_asked && !job->cancelled && !job->finishing;
  pthread_mutex_unlock(&job->lock);
  return due;
}

static void stay_paused(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  while (job->pause_asked && !job->cancelled)
    wait_for_verb(job, INT64_MAX);
  job->due = 0;
  pthread_mutex_unlock(&job->lock);
}

void bg_job_set_before_pause(BgJob *job, void (*before_pause)(void *data), void *data)
{
  job->before_pause = before_pause;
  job->before_pause_data = data;
}

bool bg_job_go_on(BgJob *job)
{
  while (pause_due(job)) {
    if (job->before_pause)
      job->before_pause(job->before_pause_data);
    set_status(job, job->ready ? BG_JOB_STANDBY : BG_JOB_PAUSED);
    stay_paused(job);
    set_status(job, job->ready ? BG_JOB_READY : BG_JOB_RUNNING);
  }
  pthread_mutex_lock(&job->lock);
  bool cancelled = job->cancelled;
  pthread_mutex_unlock(&job->lock);
  return !cancelled;
}

bool bg_job_sleep(BgJob *job, int64_t microseconds)
{
  int64_t until = g_get_monotonic_time() + microseconds;
  pthread_mutex_lock(&job->lock);
  if (!job->cancelled && !job->pause_asked)
    wait_for_verb(job, until);
  pthread_mutex_unlock(&job->lock);
  return bg_job_go_on(job);
}

/* ── speed ── */

uint64_t bg_job_piece(BgJob *job, uint64_t most)
{
  pthread_mutex_lock(&job->lock);
  uint64_t speed = job->speed;
  pthread_mutex_unlock(&job->lock);
  uint64_t piece = speed ? MAX(speed / PIECES_PER_SECOND, PIECE_MIN) & ~(uint64_t)(PIECE_MIN - 1) : most;
  return MIN(piece, most);
}

/* A debt of time, in which more work is not done. What was not used of it is saved up for so long as a busy machine may keep the job from running,
 * and no longer. With the lock held. */
static void owe(BgJob *job, uint64_t bytes)
{
  int64_t now = g_get_monotonic_time();
  if (!job->speed)
    return;
  double took = (double)bytes / (double)job->speed * G_USEC_PER_SEC;
  job->due = MAX(job->due, now - (int64_t)G_USEC_PER_SEC) + (int64_t)MIN(took, 1e15);
}

/* False: there is nothing to wait for (any more). With the lock held. */
static bool wait_until_due(BgJob *job)
{
  bool hurry = job->cancelled || job->pause_asked || job->finishing;
  if (!job->speed || hurry || job->due <= g_get_monotonic_time())
    return false;
  wait_for_verb(job, job->due);
  return true;
}

bool bg_job_throttle(BgJob *job, uint64_t bytes)
{
  pthread_mutex_lock(&job->lock);
  if (!job->due)
    job->due = g_get_monotonic_time();
  owe(job, bytes);
  while (wait_until_due(job))
    ;
  pthread_mutex_unlock(&job->lock);
  return bg_job_go_on(job);
}

/* ── progress, readiness, errors ── */

void bg_job_set_total(BgJob *job, uint64_t total)
{
  pthread_mutex_lock(&job->lock);
  job->total = MAX(total, job->current);
  pthread_mutex_unlock(&job->lock);
}

void bg_job_advance(BgJob *job, uint64_t bytes)
{
  pthread_mutex_lock(&job->lock);
  job->current += bytes;
  job->total = MAX(job->total, job->current);
  pthread_mutex_unlock(&job->lock);
}

void bg_job_set_ready(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  bool was = job->ready;
  job->ready = true;
  pthread_mutex_unlock(&job->lock);
  if (was)
    return;
  set_status(job, BG_JOB_READY);
  tell_if_meant(job, BG_JOB_EVENT_READY);
}

BgJobWish bg_job_wish(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  BgJobWish wish = job->complete_asked ? BG_JOB_COMPLETES : job->end_asked ? BG_JOB_ENDS : BG_JOB_STAYS;
  pthread_mutex_unlock(&job->lock);
  return wish;
}

/* False: the job is too near its end to pause. */
static bool stop(BgJob *job, int result)
{
  pthread_mutex_lock(&job->lock);
  bool may = !job->finishing;
  if (may) {
    job->pause_asked = true;
    job->stopped_by = -result;
  }
  pthread_mutex_unlock(&job->lock);
  return may;
}

bool bg_job_io_failed(BgJob *job, BgOnError on_error, bool reading, int result)
{
  BgOnError action = on_error;
  if (on_error == BG_ON_ERROR_ENOSPC)
    action = result == -ENOSPC ? BG_ON_ERROR_STOP : BG_ON_ERROR_REPORT;
  if (action == BG_ON_ERROR_STOP && !stop(job, result))
    action = BG_ON_ERROR_REPORT;
  if (job->kind->block)
    tell(job, &(BgJobEvent){.kind = BG_JOB_EVENT_ERROR, .reading = reading, .action = action});
  return action != BG_ON_ERROR_REPORT && bg_job_go_on(job);
}

/* ── from the beginning to the end ── */

static void cancel(BgJob *job)
{
  bg_job_cancel(job, true, NULL);
}

/* Takes the error over. What a cancelled job failed with is that it was cancelled. */
static void fail(BgJob *job, GError *error)
{
  pthread_mutex_lock(&job->lock);
  if (job->cancelled || !error) {
    g_clear_error(&error);
    bg_set_error(&error, ECANCELED, "Job '%s' was cancelled", job->id);
  }
  job->error = error;
  pthread_mutex_unlock(&job->lock);
  set_status(job, BG_JOB_ABORTING);
  bg_job_group_tell(job->group, job, cancel);
}

static void wake(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  pthread_cond_broadcast(&job->wake);
  pthread_mutex_unlock(&job->lock);
}

/* False: it was cancelled instead. */
static bool wait_for_group(BgJob *job)
{
  if (bg_job_group_arrive(job->group))
    bg_job_group_tell(job->group, NULL, wake);
  pthread_mutex_lock(&job->lock);
  while (!bg_job_group_is_complete(job->group) && !job->cancelled)
    wait_for_verb(job, INT64_MAX);
  bool cancelled = job->cancelled;
  pthread_mutex_unlock(&job->lock);
  return !cancelled;
}

/* False: it was cancelled instead. */
static bool wait_for_finalize(BgJob *job)
{
  bool manual = job->manual_finalize || bg_job_group_is_manual(job->group);
  pthread_mutex_lock(&job->lock);
  while (manual && !job->finalize_asked && !job->cancelled)
    wait_for_verb(job, INT64_MAX);
  job->finishing = !job->cancelled;
  bool finishing = job->finishing;
  pthread_mutex_unlock(&job->lock);
  return finishing;
}

static bool finish(BgJob *job, GError **error)
{
  set_status(job, BG_JOB_WAITING);
  if (!wait_for_group(job))
    return false;
  set_status(job, BG_JOB_PENDING);
  if (job->manual_finalize)
    tell_if_meant(job, BG_JOB_EVENT_PENDING);
  return wait_for_finalize(job) && (!job->kind->finish || job->kind->finish(job, job->work, error));
}

static void wait_for_dismiss(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  while (job->manual_dismiss && !job->dismiss_asked)
    wait_for_verb(job, INT64_MAX);
  pthread_mutex_unlock(&job->lock);
}

/* False: it was dropped. */
static bool wait_for_launch(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  while (!job->launched)
    wait_for_verb(job, INT64_MAX);
  bool dropped = job->dropped;
  pthread_mutex_unlock(&job->lock);
  return !dropped;
}

static bool work(BgJob *job, GError **error)
{
  set_status(job, BG_JOB_RUNNING);
  return bg_job_go_on(job) && job->kind->run(job, job->work, error) && bg_job_go_on(job) && finish(job, error);
}

static void leave_group(BgJob *job)
{
  if (bg_job_group_leave(job->group, job))
    bg_job_unref(job);
}

void *bg_job_run(void *data)
{
  BgJob *job = data;
  GError *error = NULL;
  tell_if_meant(job, BG_JOB_EVENT_STATUS);
  bool launched = wait_for_launch(job);
  bool done = launched && work(job, &error);
  if (!done)
    fail(job, error);
  job->kind->clean(job->work);
  bool cancelled = !done && job->error->code == ECANCELED;
  if (launched)
    tell_if_meant(job, cancelled ? BG_JOB_EVENT_CANCELLED : BG_JOB_EVENT_COMPLETED);
  set_status(job, BG_JOB_CONCLUDED);
  wait_for_dismiss(job);
  leave_group(job);
  bg_jobs_leave(job->graph->jobs, job); /* whoever hears of the end may use the id again */
  set_status(job, BG_JOB_NULL);
  return NULL;
}

static BgJob *job_new(BgGraph *graph, const BgJobKind *kind, const BgJobSettings *settings, BgJobGroup *group,
                      void *work)
{
  BgJob *job = g_new0(BgJob, 1);
  bg_clock_cond_init(&job->wake);
  pthread_mutex_init(&job->lock, NULL);
  atomic_init(&job->references, 1);
  job->graph = graph;
  job->id = g_strdup(settings->id);
  job->kind = kind;
  job->work = work;
  job->group = bg_job_group_ref(group);
  job->speed = settings->speed;
  job->manual_finalize = settings->manual_finalize;
  job->manual_dismiss = settings->manual_dismiss;
  return job;
}

BgJob *bg_job_prepare(BgGraph *graph, const BgJobKind *kind, const BgJobSettings *settings, BgJobGroup *group,
                      void *work, GError **error)
{
  g_autoptr(BgJob) job = job_new(graph, kind, settings, group, work);
  if (group)
    bg_job_group_join(group, bg_job_ref(job), settings->manual_finalize);
  if (bg_jobs_add(graph->jobs, job, error))
    return g_steal_pointer(&job);
  leave_group(job);
  kind->clean(work);
  return NULL;
}

static void let_go(BgJob *job, bool dropped)
{
  pthread_mutex_lock(&job->lock);
  job->launched = true;
  job->dropped = dropped;
  job->dismiss_asked |= dropped;
  pthread_cond_broadcast(&job->wake);
  pthread_mutex_unlock(&job->lock);
}

void bg_job_launch(BgJob *job)
{
  let_go(job, false);
  bg_job_unref(job);
}

void bg_job_drop(BgJob *job)
{
  let_go(job, true);
  bg_job_unref(job);
}

BgJob *bg_job_start(BgGraph *graph, const BgJobKind *kind, const BgJobSettings *settings, void *work, GError **error)
{
  BgJob *job = bg_job_prepare(graph, kind, settings, NULL, work, error);
  if (job)
    let_go(job, false);
  return job;
}
