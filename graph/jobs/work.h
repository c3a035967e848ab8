/* A job from inside: what the kinds of jobs (commit.c, stream.c …) are made with. Called in the job's own thread unless said otherwise, with
 * no lock held, not inside a gate. */
#ifndef BG_JOB_WORK_H
#define BG_JOB_WORK_H

#include "graph/jobs/group.h"
#include "graph/jobs/job.h"

/* A kind of job; `work` is its own. */
typedef struct BgJobKind {
  const char *type; /* QEMU's JobType */
  bool block;       /* it has BLOCK_JOB_… events */
  bool completes;   /* it becomes ready, and takes complete then */

  /* The work. False with an error; what it is does not matter when the job was cancelled. */
  bool (*run)(BgJob *job, void *work, GError **error);
  /* run() has succeeded: what it did takes effect, whole or not at all. Cannot be cancelled any more, so it waits for nothing without a
   * bound. NULL: nothing to do. */
  bool (*finish)(BgJob *job, void *work, GError **error);
  /* Gives everything back (users, bitmaps …), however the job went, and frees `work`. */
  void (*clean)(void *work);
} BgJobKind;

/* From any thread. Starts a job in a thread of its own; `work` is taken, also on failure. A reference. NULL: EINVAL for an id that is none or is
 * in use, EBUSY where the graph is being closed, EAGAIN where there is no thread. */
BgJob *bg_job_start(BgGraph *graph, const BgJobKind *kind, const BgJobSettings *settings, void *work, GError **error);

/* The same, but the job stays created, and its work the caller's, until one of the two below, each of which takes the reference. `group`: NULL: it
 * depends on no others. */
BgJob *bg_job_prepare(BgGraph *graph, const BgJobKind *kind, const BgJobSettings *settings, BgJobGroup *group,
                      void *work, GError **error);
void bg_job_launch(BgJob *job);
/* It goes, as one that was cancelled. */
void bg_job_drop(BgJob *job);

/* A pause point: sleeps for as long as the job is to be paused. False: it was cancelled, and shall return from run() soon. To be called at least
 * once for each 16 MiB. */
bool bg_job_go_on(BgJob *job);

/* Calls before_pause(data), with no lock held, before each pause, which begins when it returns. NULL: nothing any more. */
void bg_job_set_before_pause(BgJob *job, void (*before_pause)(void *data), void *data);

/* How many bytes to work on in one go, at most `most`: fewer where the speed is low. */
uint64_t bg_job_piece(BgJob *job, uint64_t most);

/* `bytes` were worked on: sleeps until the speed allows for the next. A pause point. */
bool bg_job_throttle(BgJob *job, uint64_t bytes);

/* Sleeps for so long, or until a verb comes. A pause point. */
bool bg_job_sleep(BgJob *job, int64_t microseconds);

/* Progress. */
void bg_job_set_total(BgJob *job, uint64_t total);
void bg_job_advance(BgJob *job, uint64_t bytes);

/* The job is ready, from now on. */
void bg_job_set_ready(BgJob *job);

/* What a ready job was asked for. */
typedef enum {
  BG_JOB_STAYS,
  BG_JOB_COMPLETES, /* by complete */
  BG_JOB_ENDS       /* by cancel without force */
} BgJobWish;
BgJobWish bg_job_wish(BgJob *job);

/* A read or write failed with `result` (-errno). Tells of it, and does as `on_error` says: sleeps where that is STOP (from inside finish() the job
 * fails instead). True: the job goes on, trying
 * the same again or (what it told by the event, IGNORE) past it; false: it fails. */
bool bg_job_io_failed(BgJob *job, BgOnError on_error, bool reading, int result);

#endif
