/* The end of a graph must come: whoever waits for somebody who keeps silent is made to give up. */
#ifndef BG_HURRY_H
#define BG_HURRY_H

#include "graph/node.h"

/* At most one for each graph, see bg_graph_hurry(). Ends it: the names of the nodes that were given up, in words; NULL: none, or it was never
 * begun. Caller frees. */
char *bg_hurry_end(BgGraph *graph);

#endif
