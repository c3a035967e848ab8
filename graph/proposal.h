/* What a change is asked to do, and how the graph would look then. Under graph->control. */
#ifndef BG_PROPOSAL_H
#define BG_PROPOSAL_H

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

/* A user's new node. Its permissions stay, or are among the holds. */
typedef struct BgMove {
  BgHold *hold;
  BgNode *to;
} BgMove;

/* A node's new options (reopen). */
typedef struct BgOverride {
  BgNode *node;
  BgNodeOptions common;
  void *options; /* typed, the driver's; ownership goes to the node at commit */
} BgOverride;

/* What is asked for. Edges' permissions are never proposed: they follow. */
typedef struct BgProposal {
  GArray *holds; /* BgPlanHold: of users; a hold with node NULL is an arriving user of `node`, see bg_proposal_hold() */
  GArray *retargets; /* BgRetarget */
  GArray *moves;     /* BgMove */
  GArray *overrides; /* BgOverride */
  GPtrArray *starts; /* BgNode *: to be looked at even if nothing above asks for it */
  GPtrArray *
      drained; /* BgNode *: no request is in them when the change takes effect, though neither edges nor options change */
  const struct BgFreeze *by; /* for whom: edges that it froze may be changed; NULL: for nobody */
  /* The last step that may fail: all else is settled, gates are closed, and it alone is inside the nodes of the change. Waits for nothing
   * without a bound. Nothing that it did is undone. NULL: nothing to do. */
  bool (*last)(void *data, GError **error);
  void *data;
  bool settle; /* nodes that nobody keeps read-write become read-only; else their downgrade waits */
} BgProposal;

void bg_proposal_init(BgProposal *proposal);
void bg_proposal_clear(BgProposal *proposal);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgProposal, bg_proposal_clear)

/* A user's hold gets new permissions. `hold->node` is set also before the user has arrived (is in the node's holders). */
void bg_proposal_hold(BgProposal *proposal, BgHold *hold, BgPerm perm, BgPerm shared);
void bg_proposal_retarget(BgProposal *proposal, BgEdge *edge, BgNode *to);
void bg_proposal_move(BgProposal *proposal, BgHold *hold, BgNode *to);
void bg_proposal_drain(BgProposal *proposal, BgNode *node);
void bg_proposal_start(BgProposal *proposal, BgNode *node);

/* ── the graph as proposed ── */

/* The child of `edge`; NULL: none. */
BgNode *bg_proposal_child(const BgProposal *proposal, const BgEdge *edge);
/* The node's new options; NULL: they stay. */
const BgOverride *bg_proposal_override(const BgProposal *proposal, const BgNode *node);
/* The edges of `node` that have a child (BgEdge *). Free with g_ptr_array_unref(). */
GPtrArray *bg_proposal_children(const BgProposal *proposal, const BgNode *node);
/* The holds on `node` (BgHold *), arriving ones included. Free with g_ptr_array_unref(). */
GPtrArray *bg_proposal_holders(const BgProposal *proposal, const BgNode *node);

#endif
