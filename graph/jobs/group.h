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

/* ── for the jobs; no job's lock is held ── */

/* Before the job runs; the group is not NULL, and gets a reference to the job. `manual`: it wants a finalize; then all do, and one for all. */
void bg_job_group_join(BgJobGroup *group, struct BgJob *job, bool manual);
/* The job's work is done. True: that of all is, now. */
bool bg_job_group_arrive(BgJobGroup *group);
/* Calls news() for all jobs but one (NULL: for all). */
void bg_job_group_tell(BgJobGroup *group, const struct BgJob *but, void (*news)(struct BgJob *job));
/* The job is at its end. True: it was a member, and the reference is the caller's. */
bool bg_job_group_leave(BgJobGroup *group, struct BgJob *job);

/* ── also under a job's lock, which is woken when these change ── */

/* The work of all is done. */
bool bg_job_group_is_complete(BgJobGroup *group);
bool bg_job_group_is_manual(BgJobGroup *group);

#endif
