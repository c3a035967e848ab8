/* What a change would do, worked out before anything is done: pure functions over the graph and a proposal, all under
 * graph->control. */
#ifndef BG_PLAN_H
#define BG_PLAN_H

#include "graph/node.h"

/* A hold's new permissions. */
typedef struct BgPlanHold {
  BgHold *hold;
  BgPerm perm, shared;
} BgPlanHold;

/* An edge's new child: from NULL an attach, to NULL a detach. */
typedef struct BgRetarget {
  BgEdge *edge;
  BgNode *to;
} BgRetarget;

/* A node's new options (reopen). */
typedef struct BgOverride {
  BgNode *node;
  BgNodeOptions common;
  void *options; /* typed, the driver's; ownership goes to the node at commit */
  BgDict *given; /* likewise */
} BgOverride;

/* What is asked for. Edges' permissions are never proposed: they follow. */
typedef struct BgProposal {
  GArray *holds; /* BgPlanHold: of users; a hold with node NULL is an arriving user of `node`, see bg_proposal_hold() */
  GArray *retargets; /* BgRetarget */
  GArray *overrides; /* BgOverride */
  GPtrArray *starts; /* BgNode *: to be looked at even if nothing above asks for it */
  bool settle;       /* nodes that nobody keeps read-write become read-only; else their downgrade waits */
} BgProposal;

void bg_proposal_init(BgProposal *proposal);
void bg_proposal_clear(BgProposal *proposal);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgProposal, bg_proposal_clear)

/* A user's hold gets new permissions. `hold->node` is set also before the user has arrived (is in the node's holders). */
void bg_proposal_hold(BgProposal *proposal, BgHold *hold, BgPerm perm, BgPerm shared);
void bg_proposal_retarget(BgProposal *proposal, BgEdge *edge, BgNode *to);
void bg_proposal_start(BgProposal *proposal, BgNode *node);

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

/* The child of `edge` as proposed. */
BgNode *bg_plan_child(const BgProposal *proposal, const BgEdge *edge);

/* The permissions of a writer that has just come, as far as a lookup can know them: for asking whether storage could be opened so. */
#define BG_PLAN_WRITER_SHARED (BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED)

#endif
