/* A disk from its beginning to its end, a piece at a time, each seen to once: what commit and stream have in common. */
#ifndef BG_JOB_WALK_H
#define BG_JOB_WALK_H

#include "graph/jobs/work.h"
#include "graph/map.h"

/* One step of a walk. */
typedef struct BgWalkStep {
  uint64_t offset;
  uint64_t
      length; /* the step's, in: at most `piece` of the walk, within the disk; out: how much was seen to, or failed, > 0 */
  void *buffer; /* of `piece` bytes */
  bool reading; /* a failure is one of reading; true at first */
  bool moved;   /* bytes were moved, which counts for the speed */
} BgWalkStep;

typedef struct BgWalk {
  BgNode *disk; /* as far as it goes */
  BgUser *to;   /* who writes; what was written is durable at the end */
  uint64_t piece;
  BgOnError on_error;
  int (*step)(BgJob *job, void *work, BgWalkStep *step); /* 0 or -errno */
} BgWalk;

/* What is at `offset` where nobody else writes, or it does not matter: *seen, which is zeroed at first, is asked for anew only behind its end. A
 * long run is so not gone through again for each of its pieces. 0 or -errno. */
int bg_walk_look(BgUser *user, uint64_t offset, BgMapped *seen);

/* What was passed over (on_error IGNORE) lets the job fail at the end. `work` is for step(). */
bool bg_walk(BgJob *job, const BgWalk *walk, void *work, GError **error);

#endif
