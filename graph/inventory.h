/* One consistent look at a graph: copies of everything that queries tell, so that they can be told without a lock. */
#ifndef BG_INVENTORY_H
#define BG_INVENTORY_H

#include "graph/graph.h"

typedef struct BgInventory BgInventory;
typedef struct BgSeenNode BgSeenNode;

typedef struct BgSeenEdge {
  char *name;
  unsigned role;
  BgPerm perm, shared;
  BgSeenNode *child;
} BgSeenEdge;

typedef struct BgSeenUser {
  char *what;
  BgPerm perm, shared;
  bool passthrough;
} BgSeenUser;

/* A name and what stands behind it. */
typedef struct BgSeenOption {
  const char *name;
  char *value; /* as the option's own type writes it */
  BgOptionType type;
} BgSeenOption;

typedef struct BgSeenFact {
  char *name;
  GVariant *value;
} BgSeenFact;

struct BgSeenNode {
  BgNode *node;
  char *name;
  const BgDriver *driver;
  bool read_write;
  bool has_parent;       /* other than the snapshots in its image */
  GPtrArray *edges;      /* BgSeenEdge *, attached ones */
  GPtrArray *users;      /* BgSeenUser * */
  GPtrArray *options;    /* BgSeenOption *: the ones every node has, then the driver's; unset strings are left out */
  GPtrArray *facts;      /* BgSeenFact *: the driver's `info`; empty while the node is being changed */
  GPtrArray *bitmaps;    /* BgBitmapInfo *: the node's dirty bitmaps, and those that only its image has now */
  GPtrArray *snapshots;  /* BgSnapshot *: those in the image that may be shown; NULL: the driver has none */
  size_t snapshot_count; /* of all in the image */
  BgNodeState state;
  char *filename;          /* NULL: none */
  int64_t size, allocated; /* bytes, or -errno */
};

struct BgInventory {
  GPtrArray *nodes; /* BgSeenNode *, parents before children, otherwise in order of opening */
};

/* Never waits for a change. Free with bg_inventory_free(). */
BgInventory *bg_inventory_take(BgGraph *graph);
void bg_inventory_free(BgInventory *inventory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgInventory, bg_inventory_free)

#endif
