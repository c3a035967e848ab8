/* Walking a mapped node extent by extent, neighbours merged. */
#ifndef BG_RUN_H
#define BG_RUN_H

#include "graph/node.h"

typedef struct BgRuns {
  BgNode *node;
  uint64_t position, end;
  BgExtent ahead; /* the extent at `position`, if length is not 0 */
} BgRuns;

/* For nodes that are not opaque (no preadv). Inside a gate. */
void bg_runs_init(BgRuns *runs, BgNode *node, uint64_t offset, uint64_t length);

/* The next run, and moves past it: extents of one kind that go on in the same child at the next byte are one run; SPECIAL ones
 * stay apart. Only while position < end. 0 or -errno. */
int bg_runs_next(BgRuns *runs, BgExtent *run);

/* What the extent's bytes are read from: its child for DATA, the COW child for BACKING (NULL: there is none); a
 * snapshot has that of the node whose image it is in. */
BgNode *bg_run_source(BgNode *node, const BgExtent *run);

#endif
