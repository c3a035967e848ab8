/* The graph as a tree of text. */
#ifndef BGFS_CTL_DRAW_H
#define BGFS_CTL_DRAW_H

#include "fs/ctl/nodes.h"

/* One line for each node, with driver, size, open mode, write state and reason, below those who stand on it; who uses a node is told below it. A
 * node with several parents is described below the first of them. `from`: only this node and what is below; NULL: all.
 * `box`: with box-drawing characters (UTF-8), else ASCII. The caller frees. */
char *bgfs_ctl_draw(const BgfsCtlNodes *nodes, const char *from, bool box);

#endif
