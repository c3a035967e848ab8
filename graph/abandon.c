#include "graph/abandon.h"

#include "graph/below.h"

/* ── who may wait ── */

static bool reaches_waiting(BgNode *node)
{
  g_autoptr(GPtrArray) nodes = bg_nodes_below(node);
  for (guint i = 0; i < nodes->len; i++)
    if (((const BgNode *)nodes->pdata[i])->driver->waits)
      return true;
  return false;
}

void bg_abandon_resolve(BgGraph *graph)
{
  bool any = false;
  for (guint i = 0; i < graph->nodes->len && !any; i++)
    any = ((const BgNode *)graph->nodes->pdata[i])->driver->waits;
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    atomic_store(&node->waits, any && reaches_waiting(node));
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

static void abandon_below(BgNode *node, unsigned silence)
{
  bg_graph_lock(node->graph);
  g_autoptr(GPtrArray) nodes = bg_nodes_below(node);
  bg_graph_unlock(node->graph);
  for (guint i = 0; i < nodes->len; i++)
    abandon(nodes->pdata[i], silence);
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
