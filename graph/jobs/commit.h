/* The commit job (QEMU's block-commit): what lies above a disk of a backing chain goes into it. */
#ifndef BG_JOB_COMMIT_H
#define BG_JOB_COMMIT_H

#include "graph/jobs/job.h"

typedef struct BgJobCommit {
  BgJobSettings settings;
  BgNode *device; /* the active layer: where the chain begins */
  BgNode *top;    /* what of the chain is committed: this one … */
  BgNode *base;   /* … and all below it down to this one, which takes it up */
  const char
      *backing_file;  /* how the image above top shall name base; NULL: as it was opened, relative where it can be */
  BgOnError on_error; /* IGNORE: goes on past what fails, and fails in the end */
} BgJobCommit;

/* Starts it; the strings are copied. `top` is below `device`: the data goes into base while what top shows stays as it is; then, at one
 * instant, the image above top stands on base, in its header, too. The nodes from top to above base stay in the graph where the user opened them, and go
 * where they were opened for their parents. Base is writable for as long as the job runs, whatever its option read-only says, and
 * nobody else writes it or what it lies in. A base that is smaller than top grows.
 *
 * `top` is `device`: what the device shows goes into base until both are the same (the job is ready, and keeps them so); complete then puts base in the
 * device's place, as bg_job_mirror() says. backing_file is not used then.
 *
 * A reference; NULL: EINVAL the nodes are in no such order, or the id is no good; EBUSY naming who stands in the way: somebody has a node between
 * top and base open, or writes there; ENOTSUP; EROFS, EACCES … where base cannot be written. A refusal changes nothing. */
BgJob *bg_job_commit(BgGraph *graph, const BgJobCommit *commit, GError **error);

#endif
