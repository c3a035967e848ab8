#include "graph/replace.h"

#include "graph/below.h"

void bg_replace_propose(BgProposal *proposal, BgNode *from, BgNode *to)
{
  for (guint i = 0; i < from->holders->len; i++) {
    BgHold *hold = from->holders->pdata[i];
    BgEdge *edge = bg_hold_edge(hold);
    if (hold->freeze && hold->freeze == proposal->by)
      continue;
    if (!edge)
      bg_proposal_move(proposal, hold, to);
    else if (!edge->parent->snapshot && !bg_node_reaches(to, edge->parent))
      bg_proposal_retarget(proposal, edge, to);
  }
}
