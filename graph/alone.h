/* Nodes of one's own for a moment: no request is in them, nobody changes them. For what changes a node's instance or bitmaps other than by a
 * change of options, children or permissions. */
#ifndef BG_ALONE_H
#define BG_ALONE_H

#include "graph/node.h"

typedef struct BgAlone {
  BgGraph *graph;
  GPtrArray *nodes;          /* BgNode *, marked */
  GPtrArray *gates, *closed; /* BgGate * */
} BgAlone;

/* Marks the nodes and the graph's structure, and closes the gates of all users that reach one of them. Waits, bounded; EBUSY. ENOENT: a node
 * was removed. Not under graph->control, not inside a gate. */
bool bg_alone_begin(BgAlone *alone, BgGraph *graph, BgNode *const *nodes, guint count, GError **error);
void bg_alone_end(BgAlone *alone);

#endif
