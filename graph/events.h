/* What the graph tells its listener, and what drivers tell the graph. Never under graph->control. */
#ifndef BG_EVENTS_H
#define BG_EVENTS_H

#include "graph/node.h"

/* A driver's event, from any thread. CORRUPT and SNAPSHOTS are remembered at the node; the monitor resolves its state
 * anew, or exchanges its views. */
void bg_events_driver(BgNode *node, BgEvent event, const char *message);

void bg_events_state(BgNode *node);
/* Raises the node's generation first. */
void bg_events_content(BgNode *node);
void bg_events_added(BgNode *node);
void bg_events_removed(BgNode *node);
void bg_events_replaced(BgNode *from, BgNode *to);
/* A request of somebody who stands on the node failed. */
void bg_events_io_error(BgNode *node, bool reading, int error);
void bg_events_job(BgGraph *graph, const struct BgJobEvent *event);

#endif
