#include "graph/jobs/private.h"

#include <errno.h>
#include <string.h>

static const char *const status_names[] = {
    [BG_JOB_CREATED] = "created", [BG_JOB_RUNNING] = "running",   [BG_JOB_PAUSED] = "paused",
    [BG_JOB_READY] = "ready",     [BG_JOB_STANDBY] = "standby",   [BG_JOB_WAITING] = "waiting",
    [BG_JOB_PENDING] = "pending", [BG_JOB_ABORTING] = "aborting", [BG_JOB_CONCLUDED] = "concluded",
    [BG_JOB_NULL] = "null",
};

const char *bg_job_status_name(BgJobStatus status)
{
  return status_names[status];
}

const char *const bg_on_error_names[] = {
    [BG_ON_ERROR_REPORT] = "report",
    [BG_ON_ERROR_IGNORE] = "ignore",
    [BG_ON_ERROR_ENOSPC] = "enospc",
    [BG_ON_ERROR_STOP] = "stop",
    NULL,
};

/* ── references ── */

BgJob *bg_job_ref(BgJob *job)
{
  atomic_fetch_add(&job->references, 1);
  return job;
}

void bg_job_unref(BgJob *job)
{
  if (!job || atomic_fetch_sub(&job->references, 1) > 1)
    return;
  pthread_mutex_destroy(&job->lock);
  pthread_cond_destroy(&job->wake);
  g_clear_error(&job->error);
  bg_job_group_unref(job->group);
  g_free(job->id);
  g_free(job);
}

const char *bg_job_id(const BgJob *job)
{
  return job->id;
}

/* ── facts ── */

void bg_job_info(BgJob *job, BgJobInfo *info)
{
  pthread_mutex_lock(&job->lock);
  *info = (BgJobInfo){
      .id = g_strdup(job->id),
      .type = job->kind->type,
      .status = job->status,
      .block = job->kind->block,
      .current = job->current,
      .total = job->total,
      .speed = job->speed,
      .busy = !job->asleep && job->status != BG_JOB_PENDING && job->status != BG_JOB_CONCLUDED,
      .paused = job->pause_asked,
      .ready = job->ready,
      .auto_finalize = !job->manual_finalize,
      .auto_dismiss = !job->manual_dismiss,
      .stopped_by = job->stopped_by,
      .error = job->error ? bg_error_errno(job->error) : 0,
      .message = job->error ? g_strdup(job->error->message) : NULL,
  };
  pthread_mutex_unlock(&job->lock);
}

void bg_job_info_clear(BgJobInfo *info)
{
  g_clear_pointer(&info->id, g_free);
  g_clear_pointer(&info->message, g_free);
}

/* ── verbs ── */

#define AT(status) (1u << BG_JOB_##status)

static const unsigned working = AT(CREATED) | AT(RUNNING) | AT(PAUSED) | AT(READY) | AT(STANDBY);

/* With the lock held. */
static bool check_verb(const BgJob *job, const char *verb, unsigned taken_in, GError **error)
{
  if (1u << job->status & taken_in)
    return true;
  bg_set_error(error, EINVAL, "Job '%s' in state '%s' cannot accept command verb '%s'", job->id,
               status_names[job->status], verb);
  return false;
}

/* Wakes the thread after a change of what is asked for, and lets go of the lock. */
static bool asked(BgJob *job, bool done)
{
  if (done)
    pthread_cond_broadcast(&job->wake);
  pthread_mutex_unlock(&job->lock);
  return done;
}

bool bg_job_pause(BgJob *job, GError **error)
{
  pthread_mutex_lock(&job->lock);
  bool may = check_verb(job, "pause", working, error);
  if (may && job->pause_asked) {
    bg_set_error(error, EINVAL, "Job is already paused");
    may = false;
  }
  if (may)
    job->pause_asked = true;
  return asked(job, may);
}

bool bg_job_resume(BgJob *job, GError **error)
{
  pthread_mutex_lock(&job->lock);
  bool may = check_verb(job, "resume", working, error);
  if (may && !job->pause_asked) {
    bg_set_error(error, EINVAL, "Can't resume a job that was not paused");
    may = false;
  }
  if (may) {
    job->pause_asked = false;
    job->stopped_by = 0;
  }
  return asked(job, may);
}

bool bg_job_set_speed(BgJob *job, uint64_t speed, GError **error)
{
  pthread_mutex_lock(&job->lock);
  bool may = check_verb(job, "set-speed", working, error);
  if (may) {
    job->speed = speed;
    job->due = 0;
  }
  return asked(job, may);
}

bool bg_job_cancel(BgJob *job, bool force, GError **error)
{
  pthread_mutex_lock(&job->lock);
  bool may = check_verb(job, "cancel", working | AT(WAITING) | AT(PENDING), error);
  if (may && job->finishing) {
    bg_set_error(error, EBUSY, "Job '%s' is being finalized", job->id);
    may = false;
  }
  if (may) {
    if (job->ready && !force && !job->complete_asked)
      job->end_asked = true;
    else
      job->cancelled = true;
    job->pause_asked = false;
  }
  return asked(job, may);
}

bool bg_job_complete(BgJob *job, GError **error)
{
  pthread_mutex_lock(&job->lock);
  bool may = check_verb(job, "complete", AT(READY), error);
  if (may && (job->pause_asked || job->cancelled || job->end_asked)) {
    bg_set_error(error, EBUSY, "The active block job '%s' cannot be completed", job->id);
    may = false;
  }
  if (may)
    job->complete_asked = true;
  return asked(job, may);
}

static void finalize(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  job->finalize_asked = true;
  pthread_cond_broadcast(&job->wake);
  pthread_mutex_unlock(&job->lock);
}

bool bg_job_finalize(BgJob *job, GError **error)
{
  pthread_mutex_lock(&job->lock);
  bool may = check_verb(job, "finalize", AT(PENDING), error);
  if (may)
    job->finalize_asked = true;
  asked(job, may);
  if (may)
    bg_job_group_tell(job->group, job, finalize);
  return may;
}

bool bg_job_dismiss(BgJob *job, GError **error)
{
  pthread_mutex_lock(&job->lock);
  bool may = check_verb(job, "dismiss", AT(CONCLUDED), error);
  if (may) {
    job->dismiss_asked = true;
    pthread_cond_broadcast(&job->wake);
  }
  while (may && job->status != BG_JOB_NULL)
    pthread_cond_wait(&job->wake, &job->lock);
  pthread_mutex_unlock(&job->lock);
  return may;
}

void bg_job_shut_down(BgJob *job)
{
  pthread_mutex_lock(&job->lock);
  job->cancelled = true;
  job->dismiss_asked = true;
  job->pause_asked = false;
  asked(job, true);
}
