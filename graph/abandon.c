#include "graph/abandon.h"

/* ── who may wait ── */

static bool reaches_waiting(const BgNode *node, GHashTable *seen)
{
  if (node->driver->waits)
    return true;
  if (!g_hash_table_add(seen, (void *)node))
    return false;
  for (guint i = 0; i < node->children->len; i++) {
    const BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node && reaches_waiting(edge->hold.node, seen))
      return true;
  }
  return false;
}

void bg_abandon_resolve(BgGraph *graph)
{
  bool any = false;
  for (guint i = 0; i < graph->nodes->len && !any; i++)
    any = ((const BgNode *)graph->nodes->pdata[i])->driver->waits;
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    g_autoptr(GHashTable) seen = any ? g_hash_table_new(NULL, NULL) : NULL;
    atomic_store(&node->waits, any && reaches_waiting(node, seen));
  }
}

bool bg_node_may_wait(const BgNode *node)
{
  return atomic_load_explicit(&node->waits, memory_order_relaxed);
}

/* ── ending waits ── */

static bool abandon(BgNode *node, unsigned silence)
{
  bool waited = false;
  if (!node->driver->abandon)
    return false;
  pthread_rwlock_rdlock(&node->life);
  if (node->instance)
    waited = node->driver->abandon(node->instance, silence);
  pthread_rwlock_unlock(&node->life);
  if (waited)
    g_warning("node '%s': nobody answers, whoever waits for it gets an error", node->name);
  return waited;
}

static void collect(BgNode *node, GHashTable *nodes)
{
  if (!g_hash_table_add(nodes, node))
    return;
  for (guint i = 0; i < node->children->len; i++) {
    const BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node)
      collect(edge->hold.node, nodes);
  }
}

static void abandon_below(BgNode *node, unsigned silence)
{
  g_autoptr(GHashTable) nodes = g_hash_table_new(NULL, NULL);
  bg_graph_lock(node->graph);
  collect(node, nodes);
  bg_graph_unlock(node->graph);
  GHashTableIter iter;
  gpointer below;
  g_hash_table_iter_init(&iter, nodes);
  while (g_hash_table_iter_next(&iter, &below, NULL))
    abandon(below, silence);
}

/* Under graph->control. */
static BgNode *node_behind(BgGraph *graph, const BgGate *gate)
{
  for (guint i = 0; i < graph->users->len; i++) {
    const BgUser *user = graph->users->pdata[i];
    if (&user->gate == gate)
      return user->hold.node;
  }
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    if (&node->errands == gate)
      return node;
  }
  return NULL;
}

void bg_abandon_inside(BgGraph *graph, const BgGate *gate, unsigned silence)
{
  bg_graph_lock(graph);
  BgNode *node = node_behind(graph, gate);
  bg_graph_unlock(graph);
  if (node)
    abandon_below(node, silence);
  else
    g_free(bg_graph_abandon(graph, silence));
}

char *bg_graph_abandon(BgGraph *graph, unsigned silence)
{
  g_autoptr(GPtrArray) nodes = g_ptr_array_new();
  GString *names = g_string_new(NULL);
  bg_graph_lock(graph);
  for (guint i = 0; i < graph->nodes->len; i++)
    g_ptr_array_add(nodes, graph->nodes->pdata[i]);
  bg_graph_unlock(graph);
  for (guint i = 0; i < nodes->len; i++) {
    BgNode *node = nodes->pdata[i];
    if (abandon(node, silence))
      g_string_append_printf(names, "%s'%s'", names->len ? ", " : "", node->name);
  }
  return g_string_free(names, names->len == 0);
}
