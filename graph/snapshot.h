/* Internal snapshots of a node: what control sockets and commands do with them. */
#ifndef BG_GRAPH_SNAPSHOT_H
#define BG_GRAPH_SNAPSHOT_H

#include "graph/graph.h"

/* Those of the node: BgSnapshot *, in the image's order. Never waits. NULL: its driver has none. Free with g_ptr_array_unref(). */
GPtrArray *bg_node_snapshots(BgNode *node);
/* The first `most`; *count: how many there are (0 where the driver has none). */
GPtrArray *bg_node_first_snapshots(BgNode *node, size_t most, size_t *count);

/* The one of that name or id; NULL and ENOENT if there is none, EINVAL if more than one could be meant. Owned by the list. */
const BgSnapshot *bg_snapshots_find(const GPtrArray *snapshots, const char *text, GError **error);

/* ── changes: the node becomes writable for the time, and nobody's requests are in it meanwhile. A failure changes nothing ── */

/* Keeps the disk as it is now. Others may write beside: the snapshot has what their requests had written when it was taken. */
bool bg_node_snapshot_create(BgNode *node, const char *name, GError **error);
/* The disk becomes what it was. EBUSY, naming who, where anybody has it or a snapshot of it open. */
bool bg_node_snapshot_apply(BgNode *node, const char *id, GError **error);
/* EBUSY, naming who, where the snapshot's own node is in use. */
bool bg_node_snapshot_delete(BgNode *node, const char *id, GError **error);

/* For transactions (transaction.h): as bg_node_snapshot_create(), of a name that no other has (EEXIST). Makes the node writable from now on; NULL:
 * it cannot be, or its format has no snapshots. */
struct BgStep *bg_snapshot_step_new(BgNode *node, const char *name, GError **error);

#endif
