/* Overlays for nodes that stand: what QEMU calls a snapshot into an overlay. */
#ifndef BG_APPEND_H
#define BG_APPEND_H

#include "graph/graph.h"

typedef struct BgAppend {
  BgNode *node;
  BgNode *overlay; /* has none below it, and can */
} BgAppend;

/* For transactions (transaction.h). The node becomes its overlay's backing disk, and whoever stood on it as a node stands on the overlay from then
 * on; files stay their nodes'. EINVAL in QEMU's words, EBUSY naming who is in the way (a writer of the node, for one). */
struct BgStep *bg_append_step_new(const BgAppend *append);

#endif
