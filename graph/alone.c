#include "graph/alone.h"

#include "drivers/clock.h"
#include "graph/mark.h"
#include "graph/restructure.h"

#include <errno.h>

/* One that somebody changes; NULL: none. Under graph->control. */
static BgNode *first_marked(const GPtrArray *nodes)
{
  for (guint i = 0; i < nodes->len; i++) {
    BgNode *node = nodes->pdata[i];
    if (node->changing)
      return node;
  }
  return NULL;
}

/* Under graph->control, which is given up while waiting. */
static bool wait_quiet(BgAlone *alone, GError **error)
{
  BgGraph *graph = alone->graph;
  struct timespec deadline = bg_clock_after(BG_MARK_TIMEOUT_MS);
  for (BgNode *busy; (busy = first_marked(alone->nodes)) || graph->restructured;) {
    if (pthread_cond_timedwait(&graph->changed, &graph->control, &deadline) != ETIMEDOUT)
      continue;
    if (busy)
      bg_set_error(error, EBUSY, "node '%s' is being changed", busy->name);
    else
      bg_set_error(error, EBUSY, "the graph is being changed");
    return false;
  }
  return true;
}

static bool check_live(const BgAlone *alone, GError **error)
{
  for (guint i = 0; i < alone->nodes->len; i++) {
    const BgNode *node = alone->nodes->pdata[i];
    if (node->live && node->instance)
      continue;
    bg_set_error(error, ENOENT, "node '%s' was removed", node->name);
    return false;
  }
  return true;
}

/* Under graph->control. */
static bool mark(BgAlone *alone, GError **error)
{
  if (!wait_quiet(alone, error) || !check_live(alone, error))
    return false;
  g_autoptr(GHashTable) set = g_hash_table_new(NULL, NULL);
  for (guint i = 0; i < alone->nodes->len; i++) {
    BgNode *node = alone->nodes->pdata[i];
    node->changing = true;
    g_hash_table_add(set, node);
  }
  alone->graph->restructured = true;
  alone->gates = bg_restructure_gates_to(alone->graph, set);
  return true;
}

bool bg_alone_begin(BgAlone *alone, BgGraph *graph, BgNode *const *nodes, guint count, GError **error)
{
  *alone = (BgAlone){.graph = graph, .nodes = g_ptr_array_new(), .closed = g_ptr_array_new()};
  for (guint i = 0; i < count; i++)
    if (!g_ptr_array_find(alone->nodes, nodes[i], NULL))
      g_ptr_array_add(alone->nodes, nodes[i]);
  bg_graph_lock(graph);
  bool marked = mark(alone, error);
  bg_graph_unlock(graph);
  if (!marked) {
    g_ptr_array_unref(alone->nodes);
    g_ptr_array_unref(alone->closed);
    return false;
  }
  if (bg_restructure_close(graph, alone->gates, alone->closed, error))
    return true;
  bg_alone_end(alone);
  return false;
}

void bg_alone_end(BgAlone *alone)
{
  BgGraph *graph = alone->graph;
  bg_restructure_open(alone->closed);
  bg_graph_lock(graph);
  graph->restructured = false;
  for (guint i = 0; i < alone->nodes->len; i++)
    ((BgNode *)alone->nodes->pdata[i])->changing = false;
  pthread_cond_broadcast(&graph->changed);
  bg_graph_unlock(graph);
  g_ptr_array_unref(alone->nodes);
  g_ptr_array_unref(alone->gates);
  g_ptr_array_unref(alone->closed);
}
