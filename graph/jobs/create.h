/* The create job (QEMU's blockdev-create): a new image or file. */
#ifndef BG_JOB_CREATE_H
#define BG_JOB_CREATE_H

#include "graph/jobs/job.h"

typedef struct BgJobCreate {
  BgJobSettings settings;     /* without a speed */
  const char *driver;         /* "qcow2", "file" … */
  BgDict *options;            /* by the driver's create_options; taken from; NULL: none */
  uint64_t size;              /* bytes */
  BgNode *file;               /* formats: the node whose bytes become the image, whatever is there; protocols: NULL */
  BgNode *data_file;          /* formats that take one: where the data lies; NULL: none */
  const char *backing_file;   /* as it shall stand in the image; NULL: none */
  const char *backing_format; /* NULL iff backing_file is */
} BgJobCreate;

/* Starts it; strings are copied. Nobody else uses the nodes meanwhile. It is no block job, has no progress within, and cannot be cancelled once it
 * runs. On failure a new file is gone again, a node's bytes are undefined. A reference; NULL: EINVAL no such driver or option, or what
 * goes with it is missing; ENOTSUP it cannot create; EBUSY naming who uses the nodes. */
BgJob *bg_job_create(BgGraph *graph, const BgJobCreate *create, GError **error);

#endif
