/* The graph as text. All that is returned is the caller's to free; made from one consistent look at the graph. */
#ifndef BG_QUERY_H
#define BG_QUERY_H

#include "graph/graph.h"

#include <json-glib/json-glib.h>

/* {"nodes": [{"node-name", "driver", "kind", "filename", "size", "allocated", "options", "info", "snapshot-count", "snapshots": [see
 * bg_query_snapshot()], "dirty-bitmaps", "read-write", "write-state", "reason", "errno", "children": [{"name", "node-name", "roles", "perm",
 * "shared"}], "users": [{"what", "perm", "shared", "passthrough"}]}]}, pretty-printed with a final newline. Of snapshots those that
 * are shown as nodes; without any neither they nor their count are told. */
char *bg_query_json(BgGraph *graph);
/* The same, not as text. */
JsonNode *bg_query_values(BgGraph *graph);

/* A snapshot with QMP's names (SnapshotInfo). The caller's. */
JsonNode *bg_query_snapshot(const BgSnapshot *snapshot);

/* A dirty bitmap with QMP's names (BlockDirtyInfo). The caller's. */
JsonNode *bg_query_bitmap(const BgBitmapInfo *bitmap);

/* Indented tree, one node a line with driver, open mode, write state and reason. */
char *bg_query_tree(BgGraph *graph);

/* Graphviz. */
char *bg_query_dot(BgGraph *graph);

#endif
