/* Nodes that show internal snapshots: "disk@NAME" beside "disk", for each snapshot that the driver of "disk" tells of. They come and go
 * with the snapshots, are never written, and hold nothing of "disk" as long as nobody has them open. */
#ifndef BG_VIEW_H
#define BG_VIEW_H

#include "graph/node.h"

/* So many snapshots of one node are shown; of others only the node's `info` tells. */
#define BG_VIEWS_MAX 4096

/* Makes the views of `node` those of its snapshots. A view whose snapshot is gone takes no users any more, and goes with the
 * last one (the monitor asks again); reading through it is the driver's -ESTALE. Waits like a change. Not under
 * graph->control, not inside a gate. */
void bg_views_sync(BgNode *node);

/* Takes all views of the node away, which nobody uses. Not under graph->control. */
void bg_views_drop(BgNode *node);

/* The view of the snapshot with that id; NULL: none. Under graph->control. */
BgNode *bg_views_find(const BgNode *node, const char *id);

/* The first hold on the node, or on a view of it, that is not just a view's that nobody uses; NULL: none. Under graph->control. */
const BgHold *bg_views_first_use(const BgNode *node);

/* What is below the node is about to change in its sight: `by` lets nobody come to its views, and no snapshot be taken, until they are opened
 * again. EBUSY: somebody has a view open (the message names both), or others closed them. Under graph->control, which is given up while
 * waiting. */
bool bg_views_close(BgNode *node, const struct BgFreeze *by, GError **error);
void bg_views_open(BgNode *node, const struct BgFreeze *by); /* where `by` closed them */
/* EBUSY: somebody closed the views of `node`. Under graph->control. */
bool bg_views_check_open(const BgNode *node, GError **error);

/* Lets nobody come to the views any more, or again. Under graph->control. */
void bg_views_set_leaving(const BgNode *node, bool leaving);

#endif
