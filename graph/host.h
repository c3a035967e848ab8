/* The core, as a node's driver sees it: the filling of BgHost. */
#ifndef BG_GRAPH_HOST_H
#define BG_GRAPH_HOST_H

#include "graph/node.h"

/* need_child comes from open-child.c: it opens nodes. */
void bg_host_init(BgNode *node);

#endif
