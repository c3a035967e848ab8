/* Edges: the graph's filling of BgChild. */
#ifndef BG_EDGE_H
#define BG_EDGE_H

#include "graph/node.h"

/* The operations of every edge: they check what the edge was granted and go on to the child node (graph/io.h). */
extern const BgChildOps bg_edge_ops;

#endif
