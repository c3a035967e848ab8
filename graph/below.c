#include "graph/below.h"

static void collect(BgNode *node, GHashTable *seen, GPtrArray *nodes)
{
  if (!g_hash_table_add(seen, node))
    return;
  g_ptr_array_add(nodes, node);
  for (guint i = 0; i < node->children->len; i++) {
    const BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node)
      collect(edge->hold.node, seen, nodes);
  }
}

GPtrArray *bg_nodes_below(BgNode *node)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
  GPtrArray *nodes = g_ptr_array_new();
  collect(node, seen, nodes);
  return nodes;
}

bool bg_node_reaches(BgNode *node, const BgNode *wanted)
{
  g_autoptr(GPtrArray) nodes = bg_nodes_below(node);
  return g_ptr_array_find(nodes, wanted, NULL);
}
