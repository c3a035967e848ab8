/* Taking nodes out of the graph. */
#ifndef BG_REMOVE_H
#define BG_REMOVE_H

#include "graph/node.h"

/* Closes the node, the parents that stand on it first, whatever the outcome of flushing; false with the first error of that. A node that is
 * gone already is nothing to do. No users may be left on any of them. Not under graph->control. */
bool bg_remove_closing(BgNode *node, GError **error);

/* A node that is about to be closed, and may stay after all. */
typedef struct BgLeaving {
  BgNode *node;
  bool was_automatic; /* bg_remove_begin()'s */
} BgLeaving;

/* Waits for changes that are under way, which may bring a user or parent; from then on nobody comes, to the node or its views. `may` says whether
 * it can go, under graph->control. EBUSY: it is being changed for long; ENOENT: it went already. */
bool bg_remove_begin(BgLeaving *leaving, bool (*may)(const BgNode *node, const void *data, GError **error),
                     const void *data, GError **error);

/* It stays, with the options that it had. */
void bg_remove_give_up(const BgLeaving *leaving);

/* Makes it read-only, also where its own options keep it read-write: it is auto-read-only from then on. */
bool bg_remove_downgrade(BgNode *node, GError **error);

#endif
