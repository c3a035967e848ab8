/* The graph as text. All that is returned is the caller's to free; made from one consistent look at the graph. */
#ifndef BG_QUERY_H
#define BG_QUERY_H

#include "graph/graph.h"

#include <json-glib/json-glib.h>

/* {"nodes": [{"node-name", "driver", "kind", "filename", "size", "allocated", "options", "info", "read-write", "write-state",
 * "reason", "errno", "children": [{"name", "node-name", "roles", "perm", "shared"}], "users": [{"what", "perm",
 * "shared", "passthrough"}]}]}, pretty-printed with a final newline. */
char *bg_query_json(BgGraph *graph);
/* The same, not as text. */
JsonNode *bg_query_values(BgGraph *graph);

/* Indented tree, one node a line with driver, open mode, write state and reason. */
char *bg_query_tree(BgGraph *graph);

/* Graphviz. */
char *bg_query_dot(BgGraph *graph);

#endif
