#include "graph/freeze.h"

#include "graph/node.h"

#include <errno.h>

void bg_freeze_init(BgFreeze *freeze, BgGraph *graph, const char *what)
{
  *freeze = (BgFreeze){graph, g_strdup(what), g_ptr_array_new(), g_ptr_array_new()};
}

bool bg_freeze_edge(BgFreeze *freeze, BgEdge *edge, GError **error)
{
  if (edge->hold.freeze) {
    bg_set_error(error, EBUSY, "node '%s': its child '%s' is frozen by %s", edge->parent->name, edge->child.name,
                 edge->hold.freeze->what);
    return false;
  }
  edge->hold.freeze = freeze;
  g_ptr_array_add(freeze->edges, edge);
  return true;
}

void bg_freeze_thaw(BgFreeze *freeze)
{
  for (guint i = 0; i < freeze->edges->len; i++)
    ((BgEdge *)freeze->edges->pdata[i])->hold.freeze = NULL;
  g_ptr_array_set_size(freeze->edges, 0);
}

/* ── read-only ── */

/* Inline children inherit the option. */
static void lift(BgFreeze *freeze, BgNode *node)
{
  node->lifted++;
  g_ptr_array_add(freeze->lifted, node);
  for (guint i = 0; i < node->children->len; i++) {
    const BgEdge *edge = node->children->pdata[i];
    BgNode *child = edge->hold.node;
    if (child && child->implicit && child->common.read_only && !(edge->child.role & (BG_ROLE_COW | BG_ROLE_SNAPSHOT)))
      lift(freeze, child);
  }
}

void bg_freeze_lift_read_only(BgFreeze *freeze, BgNode *node)
{
  bg_graph_lock(freeze->graph);
  lift(freeze, node);
  bg_graph_unlock(freeze->graph);
}

void bg_freeze_let_read_only(BgFreeze *freeze)
{
  bg_graph_lock(freeze->graph);
  for (guint i = 0; i < freeze->lifted->len; i++)
    ((BgNode *)freeze->lifted->pdata[i])->lifted--;
  g_ptr_array_set_size(freeze->lifted, 0);
  bg_graph_unlock(freeze->graph);
}

void bg_freeze_clear(BgFreeze *freeze)
{
  if (!freeze->graph)
    return;
  bg_freeze_let_read_only(freeze);
  bg_graph_lock(freeze->graph);
  bg_freeze_thaw(freeze);
  bg_graph_unlock(freeze->graph);
  g_ptr_array_unref(freeze->edges);
  g_ptr_array_unref(freeze->lifted);
  g_free(freeze->what);
  freeze->graph = NULL;
}
