/* What the monitor has to do with a node that may wait for somebody else, each in a thread of its own: the monitor never waits. */
#ifndef BG_ERRAND_H
#define BG_ERRAND_H

#include "graph/node.h"

typedef enum { BG_ERRAND_SETTLE = 1 << 0, BG_ERRAND_FLUSH = 1 << 1 } BgErrandKind;

/* Runs `errand` for the node, unless one of that kind is under way already, or the node is on its way out. An errand that makes requests does so
 * inside the node's gate for errands. Any thread, not under graph->control. */
void bg_errand_run(BgNode *node, BgErrandKind kind, void (*errand)(BgNode *node));

/* Whether one of that kind is under way. Under graph->control. */
bool bg_errand_under_way(const BgNode *node, BgErrandKind kind);

/* Returns when none is under way; nobody starts others. */
void bg_errands_finish(BgGraph *graph);

#endif
