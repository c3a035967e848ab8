#include "graph/restructure.h"

#include "graph/abandon.h"
#include "graph/before-write.h"
#include "graph/mark.h"

#include <errno.h>

/* How long a server may think while a gate has to close. */
#define SILENCE_MS 2000

GHashTable *bg_restructure_nodes(const BgProposal *proposal)
{
  GHashTable *nodes = g_hash_table_new(NULL, NULL);
  for (guint i = 0; i < proposal->overrides->len; i++)
    g_hash_table_add(nodes, g_array_index(proposal->overrides, BgOverride, i).node);
  for (guint i = 0; i < proposal->retargets->len; i++) {
    BgNode *parent = g_array_index(proposal->retargets, BgRetarget, i).edge->parent;
    if (parent->live)
      g_hash_table_add(nodes, parent);
  }
  for (guint i = 0; i < proposal->moves->len; i++)
    g_hash_table_add(nodes, g_array_index(proposal->moves, BgMove, i).hold->node);
  for (guint i = 0; i < proposal->drained->len; i++)
    g_hash_table_add(nodes, proposal->drained->pdata[i]);
  return nodes;
}

static bool reaches(const BgNode *from, GHashTable *targets, GHashTable *seen)
{
  if (g_hash_table_contains(targets, from))
    return true;
  if (!g_hash_table_add(seen, (void *)from))
    return false;
  for (guint i = 0; i < from->children->len; i++) {
    const BgEdge *edge = from->children->pdata[i];
    if (edge->hold.node && reaches(edge->hold.node, targets, seen))
      return true;
  }
  for (const BgBeforeWrite *watcher = from->before_write; watcher; watcher = watcher->next)
    if (reaches(watcher->target, targets, seen))
      return true;
  return false;
}

GPtrArray *bg_restructure_gates_to(BgGraph *graph, GHashTable *targets)
{
  GPtrArray *gates = g_ptr_array_new();
  if (g_hash_table_size(targets) == 0)
    return gates;
  for (guint i = 0; i < graph->users->len; i++) {
    BgUser *user = graph->users->pdata[i];
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    if (reaches(user->hold.node, targets, seen))
      g_ptr_array_add(gates, &user->gate);
  }
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    if (atomic_load(&node->waits) && reaches(node, targets, seen))
      g_ptr_array_add(gates, &node->errands);
  }
  g_ptr_array_add(gates, &graph->background);
  return gates;
}

GPtrArray *bg_restructure_gates(BgGraph *graph, const BgProposal *proposal)
{
  g_autoptr(GHashTable) targets = bg_restructure_nodes(proposal);
  return bg_restructure_gates_to(graph, targets);
}

/* Those inside may wait for a server that does not answer: they get half of the time. */
static bool close_gate(BgGraph *graph, BgGate *gate)
{
  if (bg_gate_close(gate, BG_MARK_TIMEOUT_MS / 2))
    return true;
  bg_abandon_inside(graph, gate, SILENCE_MS);
  return bg_gate_close(gate, BG_MARK_TIMEOUT_MS / 2);
}

bool bg_restructure_close(BgGraph *graph, const GPtrArray *gates, GPtrArray *closed, GError **error)
{
  for (guint i = 0; i < gates->len; i++) {
    if (!close_gate(graph, gates->pdata[i])) {
      bg_set_error(error, EBUSY, "requests are still under way");
      return false;
    }
    g_ptr_array_add(closed, gates->pdata[i]);
  }
  return true;
}

void bg_restructure_open(const GPtrArray *closed)
{
  for (guint i = 0; i < closed->len; i++)
    bg_gate_open(closed->pdata[i]);
}

void bg_restructure_close_background(BgNode *node)
{
  BgGraph *graph = node->graph;
  bg_graph_lock(graph);
  bg_mark_wait_structure(graph, false);
  graph->restructured = true;
  bg_graph_unlock(graph);
  while (!close_gate(graph, &node->errands))
    g_warning("node '%s': writing out takes long, still waiting for it", node->name);
  while (!close_gate(graph, &graph->background))
    g_warning("writing out takes long, still waiting for it");
}

void bg_restructure_open_background(BgNode *node)
{
  BgGraph *graph = node->graph;
  bg_gate_open(&graph->background);
  bg_gate_open(&node->errands);
  bg_graph_lock(graph);
  graph->restructured = false;
  pthread_cond_broadcast(&graph->changed);
  bg_graph_unlock(graph);
}
