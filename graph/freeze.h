/* What a job keeps as it is while it runs: links between nodes. Nobody else gives a frozen edge another child, and what the edge does not
 * share of its child it shares with the users that stand there for the same freeze (SEMANTICS: the one user with which that edge shares
 * WRITE). Also how such a user may write what is read-only by option. */
#ifndef BG_FREEZE_H
#define BG_FREEZE_H

#include "graph/user.h"

typedef struct BgEdge BgEdge;

typedef struct BgFreeze {
  BgGraph *graph;
  char *what;        /* "commit job 'j'", for messages */
  GPtrArray *edges;  /* BgEdge * */
  GPtrArray *lifted; /* BgNode * */
} BgFreeze;

/* `what` is copied. Freezes nothing yet. */
void bg_freeze_init(BgFreeze *freeze, BgGraph *graph, const char *what);
/* Thaws what is frozen. Its users must have left. Zeroed is fine. */
void bg_freeze_clear(BgFreeze *freeze);

/* Freezes an edge, which has a child. EBUSY: somebody else froze it. Under graph->control, while no change of structure is under way. */
bool bg_freeze_edge(BgFreeze *freeze, BgEdge *edge, GError **error);
/* Thaws all, under graph->control. */
void bg_freeze_thaw(BgFreeze *freeze);

/* The node's option read-only=on, and that of its storage which came with it, keep nobody from writing, until the freeze is cleared or lets
 * go of the node. Others are for the freeze's users to keep away. Takes and drops graph->control. */
void bg_freeze_lift_read_only(BgFreeze *freeze, BgNode *node);
void bg_freeze_let_read_only(BgFreeze *freeze);

/* bg_user_new() for the freeze, which outlives the user. */
BgUser *bg_freeze_user_new(const BgFreeze *freeze, BgNode *node, BgPerm perm, BgPerm shared, GError **error);

#endif
