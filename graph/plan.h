/* What a change would do, worked out before anything is done: pure functions over the graph and a proposal, all under
 * graph->control. */
#ifndef BG_PLAN_H
#define BG_PLAN_H

#include "graph/proposal.h"

/* One node that the change touches. */
typedef struct BgPlanNode {
  BgNode *node;
  const BgOverride *override; /* NULL: options stay */
  BgMode mode;                /* the new one */
  bool upgrade, downgrade;    /* read-only → read-write, and back */
  bool lingers;               /* stays read-write though nobody needs it */
  void *pending;              /* change.c's: what the driver's change_open returned */
} BgPlanNode;

typedef struct BgPlan {
  const BgProposal *proposal;
  GArray *nodes; /* BgPlanNode, parents before children */
  GArray *holds; /* BgPlanHold: users' and edges' */
} BgPlan;

void bg_plan_clear(BgPlan *plan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgPlan, bg_plan_clear)

/* Fills `plan` (zeroed by the caller). `assume_storage`: also refuse what the nodes' last storage_error says
 * would fail (to tell a state; a real change finds out by doing it). On false the plan is empty and *refusal (may be NULL)
 * says of which kind the refusal is; the error names the node and, for conflicts, both parties. */
bool bg_plan_make(BgPlan *plan, const BgProposal *proposal, bool assume_storage, BgWriteState *refusal, GError **error);

#endif
