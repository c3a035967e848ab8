/* The jobs of one graph. */
#ifndef BG_JOB_REGISTRY_H
#define BG_JOB_REGISTRY_H

#include "graph/jobs/job.h"

typedef struct BgJobs BgJobs;

BgJobs *bg_jobs_new(void);

/* Cancels all jobs, waits until their threads are gone, and takes no more. What bounds the wait is one piece of work of each. */
void bg_jobs_stop(BgJobs *jobs);
void bg_jobs_free(BgJobs *jobs); /* stopped */

/* Takes a job into the list (which holds a reference) and starts its thread. EINVAL: its id is none or in use; EBUSY: no more jobs are
 * taken; EAGAIN: there is no thread. */
bool bg_jobs_add(BgJobs *jobs, BgJob *job, GError **error);
/* By the job's own thread, which is about to end: the job is found no longer, its thread is to be joined. */
void bg_jobs_leave(BgJobs *jobs, BgJob *job);

#endif
