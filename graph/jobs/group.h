/* Jobs that succeed together or fail together (QEMU's completion-mode grouped): none takes effect before all have done their work, and when one
 * fails or is cancelled, so are the others. */
#ifndef BG_JOB_GROUP_H
#define BG_JOB_GROUP_H

#include <stdbool.h>

struct BgJob;
typedef struct BgJobGroup BgJobGroup;

BgJobGroup *bg_job_group_new(void);
BgJobGroup *bg_job_group_ref(BgJobGroup *group); /* NULL is fine, here and below: a job alone */
void bg_job_group_unref(BgJobGroup *group);

/* ── for jobs/run.c; no job's lock is held ── */

/* Before the job runs. `manual`: it wants a finalize; then all do, and one for all. */
void bg_job_group_join(BgJobGroup *group, struct BgJob *job, bool manual);
/* The job's work is done. */
void bg_job_group_arrive(BgJobGroup *group);
/* The job failed: the others are cancelled. */
void bg_job_group_fail(BgJobGroup *group, struct BgJob *job);
/* The job was asked to finalize: so are the others. */
void bg_job_group_finalize(BgJobGroup *group, struct BgJob *job);
/* The job is at its end. */
void bg_job_group_leave(BgJobGroup *group, struct BgJob *job);

/* ── also under a job's lock, which is woken when these change ── */

/* The work of all is done. */
bool bg_job_group_is_complete(BgJobGroup *group);
bool bg_job_group_is_manual(BgJobGroup *group);

#endif
