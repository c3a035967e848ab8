/* How IMAGE on a command line becomes options of a node, in a graph with that command line's policy. */
#ifndef BGFS_IMAGE_H
#define BGFS_IMAGE_H

#include "fs/cli.h"
#include "graph/graph.h"

/* An empty graph with the options' policy for references, and their secrets. */
BgGraph *bgfs_graph_new(const BgfsOptions *options, const BgListener *listener, void *listener_data);

/* IMAGE's options for bg_graph_add(): a node `name` (NULL: none is given) on the file or URI. `filename` is absolute. */
BgDict *bgfs_image_dict(const char *name, const char *filename, const char *format);

#endif
