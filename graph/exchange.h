/* Another image in a node's place: it gets the node's name, and its files. */
#ifndef BG_EXCHANGE_H
#define BG_EXCHANGE_H

#include "graph/graph.h"

typedef struct BgExchange {
  BgNode *node;
  BgDict *options; /* of the new node, without a name; taken from */
  bool force;      /* also while the node is being read: its readers read the new one from then on */
  /* Whether a node that was opened for this may come; the error says why not. NULL: all may. */
  bool (*accept)(void *data, BgNode *opened, GError **error);
  void *data;
} BgExchange;

/* A change. Opens the new node, lets it take the old one's name, and closes the old one with the children that were opened for it; nodes
 * opened for the new one get names as if the old ones were not there. EBUSY where another node stands on it, or a job, a writer, passthrough, or,
 * without force, anybody; the error of opening, or of writing the old one out. On error nothing changed. The new node; NULL on error. */
BgNode *bg_graph_exchange(BgGraph *graph, const BgExchange *exchange, GError **error);

#endif
