/* From the command line to the graph. */
#ifndef BGFS_BUILD_H
#define BGFS_BUILD_H

#include "fs/cli.h"
#include "graph/graph.h"

/* An empty graph with the options' policy for references. */
BgGraph *bgfs_graph_new(const BgfsOptions *options, const BgListener *listener, void *listener_data);

/* Adds what the options describe. On error (one line that names the file or the node) some nodes may stand
 * already: close the graph. */
bool bgfs_build(BgGraph *graph, const BgfsOptions *options, GError **error);

/* IMAGE's options for bg_graph_add(): a node `name` (NULL: none is given) on the file. `filename` is absolute. */
BgDict *bgfs_image_dict(const char *name, const char *filename, const char *format);

/* A path that stays good when the working directory changes. */
char *bgfs_absolute_path(const char *path);

#endif
