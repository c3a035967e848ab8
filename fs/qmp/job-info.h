/* What QMP tells of jobs: in queries and in events. */
#ifndef BGFS_QMP_JOB_INFO_H
#define BGFS_QMP_JOB_INFO_H

#include "graph/jobs/job.h"

#include <json-glib/json-glib.h>

/* JobInfo and BlockJobInfo. The caller's. */
JsonObject *bgfs_qmp_job_info(const BgJobInfo *info);
JsonObject *bgfs_qmp_block_job_info(const BgJobInfo *info);

/* The event's name, and its data, which is the caller's. */
const char *bgfs_qmp_job_event_name(const BgJobEvent *event);
JsonObject *bgfs_qmp_job_event_data(const BgJobEvent *event);

#endif
