/* The stream job (QEMU's block-stream): what a disk shows of those below it becomes its own. */
#ifndef BG_JOB_STREAM_H
#define BG_JOB_STREAM_H

#include "graph/jobs/job.h"

typedef struct BgJobStream {
  BgJobSettings settings;
  BgNode *device;           /* the disk, which may be read and written meanwhile */
  BgNode *base;             /* on which it stands afterwards; NULL: on nothing */
  const char *backing_file; /* how its image shall name base; NULL: as it was opened, relative where it can be */
  BgOnError on_error;       /* IGNORE: goes on past what fails, and fails in the end */
} BgJobStream;

/* Starts it; the strings are copied. What the device shows stays as it is throughout. At last, at one instant, it stands on base, in its image's
 * header, too; the nodes between go where they were opened for their parents. The device is writable for as long as the job runs,
 * whatever its option read-only says. Refusals as of bg_job_commit(). */
BgJob *bg_job_stream(BgGraph *graph, const BgJobStream *stream, GError **error);

#endif
