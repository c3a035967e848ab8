/* Overlays for nodes that stand: what QEMU calls a snapshot into an overlay. */
#ifndef BG_APPEND_H
#define BG_APPEND_H

#include "graph/graph.h"

typedef struct BgAppend {
  BgNode *node;
  BgNode *overlay; /* has none below it, and can */
} BgAppend;

/* A change. Each node becomes its overlay's backing disk, and whoever stood on it as a node stands on the overlay from then on; files stay
 * their nodes'. All at one instant, or none: EINVAL in QEMU's words, EBUSY naming who is in the way (a writer of the node, for one). */
bool bg_graph_append(BgGraph *graph, const BgAppend *appends, size_t count, GError **error);

#endif
