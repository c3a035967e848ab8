/* The graph as the daemon describes it: query-blockgraph, which .graph/nodes.json has, too. */
#ifndef BGFS_CTL_NODES_H
#define BGFS_CTL_NODES_H

#include "fs/ctl/command.h"
#include "fs/ctl/values.h"

typedef struct BgfsCtlNodes {
  JsonNode *root;
  JsonArray *list;     /* of objects, parents before children; owned by root */
  GHashTable *by_name; /* char * to JsonObject *, both owned by root */
} BgfsCtlNodes;

/* Takes `root`. NULL: EPROTO, it describes no graph. */
BgfsCtlNodes *bgfs_ctl_nodes_new(JsonNode *root, GError **error);
void bgfs_ctl_nodes_free(BgfsCtlNodes *nodes); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgfsCtlNodes, bgfs_ctl_nodes_free)

/* Asks the daemon that `ctl` is connected to. */
BgfsCtlNodes *bgfs_ctl_nodes_query(BgfsCtl *ctl, GError **error);
/* Reads them out of the mount, which needs no socket. */
BgfsCtlNodes *bgfs_ctl_nodes_read(const char *mountpoint, GError **error);

/* NULL: ENOENT. */
JsonObject *bgfs_ctl_nodes_find(const BgfsCtlNodes *nodes, const char *name, GError **error);
/* The node behind an edge of `node` ("backing"); NULL: there is none. */
const char *bgfs_ctl_nodes_child(JsonObject *node, const char *edge);
/* The top of the chain that the node is in: the active layer, from which its data is read over backing images and filters; itself where nothing stands on it
 * or several nodes do. Owned by `nodes`. */
const char *bgfs_ctl_nodes_top(const BgfsCtlNodes *nodes, const char *name);

#endif
