/* Which nodes a change may touch, in order; and that the graph stays one: no cycles, no endless depth. */
#ifndef BG_ORDER_H
#define BG_ORDER_H

#include "graph/proposal.h"

/* So many nodes may lie below each other: what walks the graph does so by recursion. */
#define BG_LEVELS_MAX 600

/* All nodes at or below the proposal's starts (BgNode *), children before parents. NULL and ELOOP if a node would become its own
 * child, or more than BG_LEVELS_MAX lie below each other. Under graph->control. Free with g_ptr_array_unref(). */
GPtrArray *bg_order_below(const BgProposal *proposal, GError **error);

#endif
