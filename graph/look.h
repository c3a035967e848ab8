/* One consistent look at a graph: copies of everything that queries tell, so that they can be told without a lock. */
#ifndef BG_LOOK_H
#define BG_LOOK_H

#include "graph/graph.h"

typedef struct BgLook BgLook;
typedef struct BgLookNode BgLookNode;

typedef struct BgLookEdge {
  char *name;
  unsigned role;
  BgPerm perm, shared;
  BgLookNode *child;
} BgLookEdge;

typedef struct BgLookUser {
  char *what;
  BgPerm perm, shared;
} BgLookUser;

/* A name and what stands behind it. */
typedef struct BgLookOption {
  char *name;
  char *value; /* as the option's own type writes it */
  BgOptionType type;
} BgLookOption;

typedef struct BgLookFact {
  char *name;
  GVariant *value;
} BgLookFact;

struct BgLookNode {
  BgNode *node;
  char *name;
  const BgDriver *driver;
  bool read_write;
  bool has_parent;
  GPtrArray *edges;   /* BgLookEdge *, attached ones */
  GPtrArray *users;   /* BgLookUser * */
  GPtrArray *options; /* BgLookOption *: the ones every node has, then the driver's; unset strings are left out */
  GPtrArray *facts;   /* BgLookFact *: the driver's `info`; empty while the node is being changed */
  BgNodeState state;
  char *filename;          /* NULL: none */
  int64_t size, allocated; /* bytes, or -errno */
};

struct BgLook {
  GPtrArray *nodes; /* BgLookNode *, parents before children, otherwise in order of opening */
};

/* Never waits for a change. Free with bg_look_free(). */
BgLook *bg_look_take(BgGraph *graph);
void bg_look_free(BgLook *look);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgLook, bg_look_free)

#endif
