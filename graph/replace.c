#include "graph/replace.h"

static bool is_below(const BgNode *node, const BgNode *wanted)
{
  if (node == wanted)
    return true;
  for (guint i = 0; i < node->children->len; i++) {
    const BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node && is_below(edge->hold.node, wanted))
      return true;
  }
  return false;
}

void bg_replace_propose(BgProposal *proposal, BgNode *from, BgNode *to)
{
  for (guint i = 0; i < from->holders->len; i++) {
    BgHold *hold = from->holders->pdata[i];
    BgEdge *edge = bg_hold_edge(hold);
    if (hold->freeze && hold->freeze == proposal->by)
      continue;
    if (!edge)
      bg_proposal_move(proposal, hold, to);
    else if (!edge->parent->snapshot && !is_below(to, edge->parent))
      bg_proposal_retarget(proposal, edge, to);
  }
}
