/* The files that a graph stands on. */
#ifndef BGFS_IMAGES_H
#define BGFS_IMAGES_H

#include "graph/graph.h"

/* False if one of them lies inside the directory: the mount would hide what it stands on. */
bool bgfs_images_check(BgGraph *graph, const char *mountpoint, GError **error);
/* The same for one node. */
bool bgfs_images_check_node(BgNode *node, const char *mountpoint, GError **error);

#endif
