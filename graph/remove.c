#include "graph/remove.h"

#include "graph/change.h"
#include "graph/events.h"
#include "graph/restructure.h"
#include "graph/state.h"
#include "graph/view.h"

#include <errno.h>

static BgNode *some_parent(BgNode *node)
{
  BgNode *parent = NULL;
  bg_graph_lock(node->graph);
  for (guint i = 0; i < node->holders->len && !parent; i++) {
    BgEdge *edge = bg_hold_edge(node->holders->pdata[i]);
    parent = edge ? edge->parent : NULL;
  }
  bg_graph_unlock(node->graph);
  return parent;
}

/* ── beginning, and thinking better of it ── */

static bool check_here(const BgNode *node, GError **error)
{
  if (node->live && !node->leaving)
    return true;
  bg_set_error(error, ENOENT, "node '%s' was removed already", node->name);
  return false;
}

static void set_leaving(const BgLeaving *leaving, bool leaves)
{
  leaving->node->leaving = leaves;
  bg_views_set_leaving(leaving->node, leaves);
}

bool bg_remove_begin(BgLeaving *leaving, bool (*may)(const BgNode *node, const void *data, GError **error),
                     const void *data, GError **error)
{
  BgNode *node = leaving->node;
  bg_graph_lock(node->graph);
  bool marked = bg_mark_take(node);
  bool leaves = marked && check_here(node, error) && may(node, data, error);
  if (!marked)
    bg_set_error(error, EBUSY, "node '%s' is being changed", node->name);
  leaving->was_automatic = node->common.auto_read_only;
  if (leaves)
    set_leaving(leaving, true);
  if (marked)
    bg_mark_drop(node);
  bg_graph_unlock(node->graph);
  return leaves;
}

void bg_remove_give_up(const BgLeaving *leaving)
{
  bg_graph_lock(leaving->node->graph);
  set_leaving(leaving, false);
  leaving->node->common.auto_read_only = leaving->was_automatic;
  bg_graph_unlock(leaving->node->graph);
}

/* ── closing ── */

bool bg_remove_downgrade(BgNode *node, GError **error)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  proposal.settle = true;
  bg_graph_lock(node->graph);
  node->common.auto_read_only = true;
  bg_proposal_start(&proposal, node);
  bg_graph_unlock(node->graph);
  return bg_change_run(node->graph, &proposal, error);
}

/* Nobody is in the instance then: no control call (the mark), no request of the monitor (its gate), nobody who only asks for facts
 * (`life`); users and parents there are none. */
static void *take_instance(BgNode *node)
{
  BgGraph *graph = node->graph;
  bg_graph_lock(graph);
  while (!bg_mark_take(node))
    g_warning("node '%s': is being changed for long, still waiting", node->name);
  bg_graph_unlock(graph);
  bg_restructure_close_background(node);
  pthread_rwlock_wrlock(&node->life);
  void *instance = node->instance;
  node->instance = NULL;
  pthread_rwlock_unlock(&node->life);
  bg_restructure_open_background(node);
  bg_graph_lock(graph);
  bg_mark_drop(node);
  bg_graph_unlock(graph);
  return instance;
}

static void close_instance(BgNode *node)
{
  void *instance = take_instance(node);
  if (instance)
    node->driver->close(instance);
}

static void detach_children(BgNode *node)
{
  g_auto(BgProposal) proposal;
  g_autoptr(GError) error = NULL;
  bg_proposal_init(&proposal);
  for (guint i = 0; i < node->children->len; i++) {
    BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node)
      bg_proposal_retarget(&proposal, edge, NULL);
  }
  if (!proposal.retargets->len || bg_change_run(node->graph, &proposal, &error))
    return;
  g_warning("node '%s': its children go without being asked: %s", node->name, error->message);
  for (guint i = 0; i < proposal.retargets->len; i++)
    bg_change_drop_hold(&g_array_index(proposal.retargets, BgRetarget, i).edge->hold);
}

static void forget(BgNode *node)
{
  bg_graph_lock(node->graph);
  bool shown = node->live;
  node->live = false;
  g_ptr_array_remove(node->graph->nodes, node);
  g_ptr_array_add(node->graph->graveyard, node);
  bg_graph_unlock(node->graph);
  if (shown)
    bg_events_removed(node);
}

static bool is_gone(BgNode *node)
{
  bg_graph_lock(node->graph);
  bool gone = !g_ptr_array_find(node->graph->nodes, node, NULL);
  bg_graph_unlock(node->graph);
  return gone;
}

bool bg_remove_closing(BgNode *node, GError **error)
{
  g_autoptr(GError) first = NULL;
  if (is_gone(node))
    return true;
  bg_views_drop(node);
  for (BgNode *parent; (parent = some_parent(node));)
    bg_remove_closing(parent, first ? NULL : &first);
  if (node->instance && !bg_remove_downgrade(node, first ? NULL : &first))
    g_debug("node '%s' is closed as it is", node->name);
  close_instance(node);
  detach_children(node);
  forget(node);
  if (!first)
    return true;
  g_propagate_error(error, g_steal_pointer(&first));
  return false;
}

/* ── by the user ── */

static bool check_unused(const BgNode *node, const void *data, GError **error)
{
  (void)data;
  const BgHold *use = bg_views_first_use(node);
  if (!use)
    return true;
  bg_set_error(error, EBUSY, "node '%s' is in use by %s", use->node->name, use->what);
  return false;
}

static GPtrArray *implicit_children(const BgNode *node)
{
  GPtrArray *children = g_ptr_array_new();
  for (guint i = 0; i < node->children->len; i++) {
    BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node && edge->hold.node->implicit)
      g_ptr_array_add(children, edge->hold.node);
  }
  return children;
}

static void remove_unused(BgNode *node)
{
  bg_graph_lock(node->graph);
  bool used = bg_views_first_use(node) || !node->live;
  bg_graph_unlock(node->graph);
  if (!used)
    bg_graph_remove(node->graph, node, NULL);
}

bool bg_graph_remove(BgGraph *graph, BgNode *node, GError **error)
{
  BgLeaving leaving = {node, false};
  if (!bg_remove_begin(&leaving, check_unused, NULL, error))
    return false;
  bg_graph_lock(graph);
  g_autoptr(GPtrArray) children = implicit_children(node);
  bg_graph_unlock(graph);
  if (!bg_remove_downgrade(node, error)) {
    bg_remove_give_up(&leaving);
    return false;
  }
  bg_remove_closing(node, NULL);
  for (guint i = 0; i < children->len; i++)
    remove_unused(children->pdata[i]);
  return true;
}
