/* The mirror job (QEMU's blockdev-mirror), and the commit of an active layer, which is one. */
#ifndef BG_JOB_MIRROR_H
#define BG_JOB_MIRROR_H

#include "graph/jobs/commit.h"

/* What of a disk is copied (QEMU's MirrorSyncMode). */
typedef enum {
  BG_SYNC_FULL,        /* all that it shows */
  BG_SYNC_TOP,         /* what its own image holds */
  BG_SYNC_NONE,        /* mirror: what is written from now on; backup: what is about to be written over */
  BG_SYNC_INCREMENTAL, /* backup: what a bitmap marks, which is cleared when the job succeeds */
  BG_SYNC_BITMAP       /* backup: the same, by the bitmap's mode */
} BgSync;

typedef struct BgJobMirror {
  BgJobSettings settings;
  BgNode *source, *target; /* a target that is smaller grows; one that is larger is refused */
  BgSync sync;             /* FULL, TOP or NONE */
  uint32_t granularity;    /* bytes, a power of two from 512 to 64 MiB: changes are known so finely; 0: 64 KiB */
  BgOnError on_source_error, on_target_error; /* IGNORE: tries the same again, later */
} BgJobMirror;

/* Starts it. The source may be read and written; all of it goes to the target, over and over what is changed, until both are the
 * same but for the little that was written a moment ago: then the job is ready, and keeps them so. complete: at one instant, with no request
 * under way, the target takes the source's place: everybody who used the source uses the target, every node that stood on it stands on that (BgListener.node_replaced), and the target is durable. cancel without
 * force: the target is durable and what the source is at that instant. Nobody else writes the target, nor, around the source, what lies below it.
 *
 * A reference; NULL: EINVAL, EBUSY naming who stands in the way, EROFS, EACCES …, EFBIG where the target cannot grow. A refusal changes
 * nothing. */
BgJob *bg_job_mirror(BgGraph *graph, const BgJobMirror *mirror, GError **error);

/* bg_job_commit() where top is the device; id and order of the nodes were checked. */
BgJob *bg_job_commit_active(BgGraph *graph, const BgJobCommit *commit, GError **error);

#endif
