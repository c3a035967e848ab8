/* Marks: a node that bears one is being changed by whoever put it there, and everybody else waits, bounded. One more mark, the graph's, is
 * for changes of its structure (edges and options), of which there is one at a time.
 *
 * Under graph->control, which is given up while waiting. */
#ifndef BG_MARK_H
#define BG_MARK_H

#include "graph/node.h"

#define BG_MARK_TIMEOUT_MS 5000

/* Waits until `node` bears no mark, then puts one there. False: BG_MARK_TIMEOUT_MS passed. */
bool bg_mark_take(BgNode *node);
void bg_mark_drop(BgNode *node);

/* Waits until no change of structure is under way, after which such a change knows of every user in graph->users. At
 * most BG_MARK_TIMEOUT_MS (then false) if `bounded`. */
bool bg_mark_wait_structure(BgGraph *graph, bool bounded);

#endif
