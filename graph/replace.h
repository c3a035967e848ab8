/* One node in another's place. */
#ifndef BG_REPLACE_H
#define BG_REPLACE_H

#include "graph/proposal.h"

/* Adds to the proposal: all users of `from` move to `to`, and all its parents get `to` for a child, but those that belong to proposal->by, those that
 * `to` itself stands on, and the snapshots of `from`. Under graph->control. Whoever runs the proposal then calls bg_events_replaced(). */
void bg_replace_propose(BgProposal *proposal, BgNode *from, BgNode *to);

#endif
