/* Nodes that may wait for somebody else (a server), and ending their waits. */
#ifndef BG_ABANDON_H
#define BG_ABANDON_H

#include "graph/node.h"

/* Works out BgNode.waits of all nodes. Under graph->control. */
void bg_abandon_resolve(BgGraph *graph);

/* Whoever keeps `gate` (a user's, or a node's for errands; any other: everybody) from being empty, because he waits for somebody who was silent for
 * `silence` ms, gets an error now. Not under graph->control. */
void bg_abandon_inside(BgGraph *graph, const BgGate *gate, unsigned silence);

#endif
