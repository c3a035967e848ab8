/* A disk from its beginning to its end, each piece seen to once: what commit and stream have in common. */
#ifndef BG_JOB_WALK_H
#define BG_JOB_WALK_H

#include "graph/jobs/crew.h"
#include "graph/map.h"

/* What is to be done from an offset on. */
typedef struct BgWalkStep {
  uint64_t length; /* > 0; where bytes are moved at most what BG_COPY_PIECE and the disk leave, which it is at first */
  bool wanted;     /* there is something to be done; false at first */
  bool zero;       /* but no bytes are moved for it, which counts for the speed; false at first */
} BgWalkStep;

typedef struct BgWalk {
  BgNode *disk; /* as far as it goes */
  BgUser *to;   /* who writes; what was written is durable at the end */
  BgOnError on_error;
  void *work; /* for the two functions */

  /* By the job's thread, from the beginning to the end. 0 or -errno of reading. */
  int (*look)(BgJob *job, void *work, uint64_t offset, BgWalkStep *step);
  /* By hands, beside each other, for what is wanted; `zero` is the step's. 0 or -errno. */
  int (*see_to)(void *work, BgPiece *piece);
} BgWalk;

/* What is at `offset` where nobody else writes, or it does not matter: *seen, which is zeroed at first, is asked for anew only behind its end. A
 * long run is so not gone through again for each of its pieces. 0 or -errno. */
int bg_walk_look(BgUser *user, uint64_t offset, BgMapped *seen);

/* What was passed over (on_error IGNORE) lets the job fail at the end. */
bool bg_walk(BgJob *job, const BgWalk *walk, GError **error);

#endif
