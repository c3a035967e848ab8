#include "graph/proposal.h"

void bg_proposal_init(BgProposal *proposal)
{
  proposal->holds = g_array_new(FALSE, FALSE, sizeof(BgPlanHold));
  proposal->retargets = g_array_new(FALSE, FALSE, sizeof(BgRetarget));
  proposal->moves = g_array_new(FALSE, FALSE, sizeof(BgMove));
  proposal->overrides = g_array_new(FALSE, FALSE, sizeof(BgOverride));
  proposal->starts = g_ptr_array_new();
  proposal->drained = g_ptr_array_new();
  proposal->by = NULL;
  proposal->last = NULL;
  proposal->data = NULL;
  proposal->settle = false;
}

void bg_proposal_clear(BgProposal *proposal)
{
  g_clear_pointer(&proposal->holds, g_array_unref);
  g_clear_pointer(&proposal->retargets, g_array_unref);
  g_clear_pointer(&proposal->moves, g_array_unref);
  g_clear_pointer(&proposal->overrides, g_array_unref);
  g_clear_pointer(&proposal->drained, g_ptr_array_unref);
  g_clear_pointer(&proposal->starts, g_ptr_array_unref);
}

void bg_proposal_start(BgProposal *proposal, BgNode *node)
{
  if (!g_ptr_array_find(proposal->starts, node, NULL))
    g_ptr_array_add(proposal->starts, node);
}

void bg_proposal_hold(BgProposal *proposal, BgHold *hold, BgPerm perm, BgPerm shared)
{
  BgPlanHold entry = {hold, perm, shared};
  g_array_append_val(proposal->holds, entry);
  bg_proposal_start(proposal, hold->node);
}

void bg_proposal_retarget(BgProposal *proposal, BgEdge *edge, BgNode *to)
{
  BgRetarget entry = {edge, to};
  g_array_append_val(proposal->retargets, entry);
  bg_proposal_start(proposal, edge->parent);
  if (edge->hold.node)
    bg_proposal_start(proposal, edge->hold.node);
  if (to)
    bg_proposal_start(proposal, to);
}

void bg_proposal_move(BgProposal *proposal, BgHold *hold, BgNode *to)
{
  BgMove entry = {hold, to};
  g_array_append_val(proposal->moves, entry);
  bg_proposal_start(proposal, hold->node);
  bg_proposal_start(proposal, to);
}

void bg_proposal_drain(BgProposal *proposal, BgNode *node)
{
  g_ptr_array_add(proposal->drained, node);
  bg_proposal_start(proposal, node);
}

/* ── the graph as proposed ── */

static const BgRetarget *find_retarget(const BgProposal *proposal, const BgEdge *edge)
{
  for (guint i = 0; i < proposal->retargets->len; i++) {
    const BgRetarget *retarget = &g_array_index(proposal->retargets, BgRetarget, i);
    if (retarget->edge == edge)
      return retarget;
  }
  return NULL;
}

BgNode *bg_proposal_child(const BgProposal *proposal, const BgEdge *edge)
{
  const BgRetarget *retarget = find_retarget(proposal, edge);
  return retarget ? retarget->to : edge->hold.node;
}

const BgOverride *bg_proposal_override(const BgProposal *proposal, const BgNode *node)
{
  for (guint i = 0; i < proposal->overrides->len; i++) {
    const BgOverride *override = &g_array_index(proposal->overrides, BgOverride, i);
    if (override->node == node)
      return override;
  }
  return NULL;
}

GPtrArray *bg_proposal_children(const BgProposal *proposal, const BgNode *node)
{
  GPtrArray *edges = g_ptr_array_new();
  for (guint i = 0; i < node->children->len; i++)
    if (bg_proposal_child(proposal, node->children->pdata[i]))
      g_ptr_array_add(edges, node->children->pdata[i]);
  for (guint i = 0; i < proposal->retargets->len; i++) {
    const BgRetarget *retarget = &g_array_index(proposal->retargets, BgRetarget, i);
    if (retarget->edge->parent == node && retarget->to && !g_ptr_array_find(edges, retarget->edge, NULL))
      g_ptr_array_add(edges, retarget->edge);
  }
  return edges;
}

/* The node of a user; of one that is still to arrive, too. */
static BgNode *user_node(const BgProposal *proposal, const BgHold *hold)
{
  for (guint i = 0; i < proposal->moves->len; i++) {
    const BgMove *move = &g_array_index(proposal->moves, BgMove, i);
    if (move->hold == hold)
      return move->to;
  }
  return hold->node;
}

GPtrArray *bg_proposal_holders(const BgProposal *proposal, const BgNode *node)
{
  GPtrArray *holders = g_ptr_array_new();
  for (guint i = 0; i < node->holders->len; i++) {
    BgHold *hold = node->holders->pdata[i];
    BgEdge *edge = bg_hold_edge(hold);
    if ((edge ? bg_proposal_child(proposal, edge) : user_node(proposal, hold)) == node)
      g_ptr_array_add(holders, hold);
  }
  for (guint i = 0; i < proposal->moves->len; i++) {
    const BgMove *move = &g_array_index(proposal->moves, BgMove, i);
    if (move->to == node && move->hold->node != node)
      g_ptr_array_add(holders, move->hold);
  }
  for (guint i = 0; i < proposal->retargets->len; i++) {
    const BgRetarget *retarget = &g_array_index(proposal->retargets, BgRetarget, i);
    if (retarget->to == node && retarget->edge->hold.node != node)
      g_ptr_array_add(holders, &retarget->edge->hold);
  }
  for (guint i = 0; i < proposal->holds->len; i++) {
    BgHold *hold = g_array_index(proposal->holds, BgPlanHold, i).hold;
    if (user_node(proposal, hold) == node && !g_ptr_array_find(holders, hold, NULL))
      g_ptr_array_add(holders, hold);
  }
  return holders;
}
