/* What a node stands on. */
#ifndef BG_BELOW_H
#define BG_BELOW_H

#include "graph/node.h"

/* `node` and all nodes below it, each once (BgNode *). Under graph->control. Free with
 * g_ptr_array_unref(). */
GPtrArray *bg_nodes_below(BgNode *node);

/* Whether `wanted` is `node` or below it. Under graph->control. */
bool bg_node_reaches(BgNode *node, const BgNode *wanted);

#endif
