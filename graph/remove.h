/* Taking nodes out of the graph. */
#ifndef BG_REMOVE_H
#define BG_REMOVE_H

#include "graph/node.h"

/* Closes the node, the parents that stand on it first, whatever the outcome of flushing; false with the first error of that. A node that is
 * gone already is nothing to do. No users may be left on any of them. Not under graph->control. */
bool bg_remove_closing(BgNode *node, GError **error);

/* Makes it read-only, also where its own options keep it read-write: it is auto-read-only from then on. */
bool bg_remove_downgrade(BgNode *node, GError **error);

#endif
