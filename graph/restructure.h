/* What a change of edges or options has to keep out of its way: the requests of those who can reach such a node. */
#ifndef BG_RESTRUCTURE_H
#define BG_RESTRUCTURE_H

#include "graph/proposal.h"

/* The nodes whose edges or options change and that users can reach: those being opened or gone are reached by none. Under
 * graph->control. */
GHashTable *bg_restructure_nodes(const BgProposal *proposal);

/* The gates (BgGate *) to close for that; none where only permissions change. Under graph->control, with the graph's mark taken:
 * users that come later wait for it. */
GPtrArray *bg_restructure_gates(BgGraph *graph, const BgProposal *proposal);
/* The same for a set of nodes (BgNode *). */
GPtrArray *bg_restructure_gates_to(BgGraph *graph, GHashTable *nodes);

/* Closes them one after another and adds each to `closed`; whoever inside waits for a server is made to give up after half of the time. False with EBUSY where requests do not leave in time; what is in `closed` then is
 * to be opened all the same. Not under graph->control. */
bool bg_restructure_close(BgGraph *graph, const GPtrArray *gates, GPtrArray *closed, GError **error);
void bg_restructure_open(const GPtrArray *closed);

/* Keeps the monitor's requests, and the node's errands, out: what one of them flushes may be closed meanwhile. Takes the graph's mark. Not
 * under graph->control. */
void bg_restructure_close_background(BgNode *node);
void bg_restructure_open_background(BgNode *node);

#endif
