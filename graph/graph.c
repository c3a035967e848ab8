#include "graph/graph.h"

#include "drivers/clock.h"
#include "graph/change.h"
#include "graph/events.h"
#include "graph/hurry.h"
#include "graph/jobs/registry.h"
#include "graph/monitor.h"
#include "graph/open.h"
#include "graph/remove.h"
#include "graph/state.h"
#include "graph/view.h"

#include <errno.h>
#include <string.h>

BgGraph *bg_graph_new(const BgPolicy *policy, const BgListener *listener, void *listener_data)
{
  BgGraph *graph = g_new0(BgGraph, 1);
  if (policy)
    graph->policy = *policy;
  graph->policy.allowed = (const char *const *)g_strdupv((char **)graph->policy.allowed);
  graph->listener = listener;
  graph->listener_data = listener_data;
  pthread_mutex_init(&graph->control, NULL);
  bg_clock_cond_init(&graph->changed);
  graph->nodes = g_ptr_array_new();
  graph->users = g_ptr_array_new();
  graph->graveyard = g_ptr_array_new();
  bg_alarm_init(&graph->alarm);
  graph->epoch = bg_epoch_new();
  bg_gate_init(&graph->background);
  graph->jobs = bg_jobs_new();
  graph->monitor = bg_monitor_start(graph);
  return graph;
}

static void graph_free(BgGraph *graph)
{
  for (guint i = 0; i < graph->graveyard->len; i++)
    bg_node_free(graph->graveyard->pdata[i]);
  g_ptr_array_unref(graph->graveyard);
  g_ptr_array_unref(graph->nodes);
  g_ptr_array_unref(graph->users);
  bg_alarm_clear(&graph->alarm);
  bg_jobs_free(graph->jobs);
  bg_epoch_free(graph->epoch);
  bg_gate_clear(&graph->background);
  pthread_cond_destroy(&graph->changed);
  pthread_mutex_destroy(&graph->control);
  g_strfreev((char **)graph->policy.allowed);
  g_free(graph);
}

/* Nobody asks for states any more: with long chains, working them out after each step takes long. */
static void hide_all(BgGraph *graph)
{
  bg_graph_lock(graph);
  for (guint i = 0; i < graph->nodes->len; i++)
    ((BgNode *)graph->nodes->pdata[i])->live = false;
  bg_graph_unlock(graph);
}

bool bg_graph_close(BgGraph *graph, GError **error)
{
  g_autoptr(GError) first = NULL;
  bg_jobs_stop(graph->jobs);
  bg_monitor_stop(graph->monitor);
  graph->monitor = NULL;
  hide_all(graph);
  while (graph->nodes->len)
    bg_remove_closing(graph->nodes->pdata[0], first ? NULL : &first);
  g_autofree char *given_up = bg_hurry_end(graph);
  if (given_up && !first)
    bg_set_error(&first, ETIMEDOUT, "node %s: its server did not answer and was given up", given_up);
  graph_free(graph);
  if (!first)
    return true;
  g_propagate_error(error, g_steal_pointer(&first));
  return false;
}

bool bg_graph_settle(BgGraph *graph, GError **error)
{
  return bg_change_settle(graph, error);
}

/* ── adding ── */

BgNode *bg_graph_add(BgGraph *graph, BgDict *options, GError **error)
{
  g_autoptr(GPtrArray) nodes = g_ptr_array_new();
  BgBatch batch = {graph, nodes};
  BgNode *node = bg_open_node(&batch, options, "node", BG_PROBE_ANY, NULL, error);
  if (node && bg_open_upgrade(&batch, error)) {
    bg_open_publish(&batch, NULL, NULL);
    return node;
  }
  bg_open_drop(&batch);
  return NULL;
}

/* ── pins ── */

void bg_node_pin(BgNode *node, bool read_only)
{
  g_auto(BgNews) news = {0};
  bg_graph_lock(node->graph);
  if (!(node->mode.perm & BG_PERM_ANY_WRITE) || !read_only)
    node->pinned = read_only;
  bg_state_resolve(node->graph, &news);
  bg_graph_unlock(node->graph);
  bg_news_tell(&news);
}
