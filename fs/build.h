/* From the command line to the graph. */
#ifndef BGFS_BUILD_H
#define BGFS_BUILD_H

#include "fs/cli.h"
#include "graph/graph.h"

/* Adds what the options describe. On error (one line that names the file or the node) some nodes may stand
 * already: close the graph. */
bool bgfs_build(BgGraph *graph, const BgfsOptions *options, GError **error);

#endif
