#include "graph/node.h"

#include <string.h>

void bg_graph_lock(BgGraph *graph)
{
  pthread_mutex_lock(&graph->control);
}

void bg_graph_unlock(BgGraph *graph)
{
  pthread_mutex_unlock(&graph->control);
}

BgNode *bg_graph_look_up(const BgGraph *graph, const char *name)
{
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    if (node->live && strcmp(node->name, name) == 0)
      return node;
  }
  return NULL;
}

BgNode *bg_graph_find(BgGraph *graph, const char *name)
{
  bg_graph_lock(graph);
  BgNode *found = bg_graph_look_up(graph, name);
  bg_graph_unlock(graph);
  return found;
}

BgNode *bg_node_child(BgNode *node, const char *name)
{
  bg_graph_lock(node->graph);
  const BgEdge *edge = bg_node_edge(node, name);
  BgNode *child = edge ? edge->hold.node : NULL;
  bg_graph_unlock(node->graph);
  return child;
}

static void list_below(BgNode *node, GHashTable *seen, GPtrArray *reverse)
{
  if (!g_hash_table_add(seen, node))
    return;
  for (guint i = node->children->len; i-- > 0;) {
    BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node)
      list_below(edge->hold.node, seen, reverse);
  }
  if (node->live)
    g_ptr_array_add(reverse, node);
}

GPtrArray *bg_graph_nodes(BgGraph *graph)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
  g_autoptr(GPtrArray) reverse = g_ptr_array_new();
  GPtrArray *nodes = g_ptr_array_new();
  bg_graph_lock(graph);
  for (guint i = graph->nodes->len; i-- > 0;)
    list_below(graph->nodes->pdata[i], seen, reverse);
  bg_graph_unlock(graph);
  for (guint i = reverse->len; i-- > 0;)
    g_ptr_array_add(nodes, reverse->pdata[i]);
  return nodes;
}
