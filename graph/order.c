#include "graph/order.h"

#include <errno.h>

#define UNDER_WAY GINT_TO_POINTER(-1)

typedef struct Ordering {
  const BgProposal *proposal;
  GHashTable *below;  /* node → how many levels it and what is below it are; or UNDER_WAY */
  GHashTable *above;  /* node → how many levels it and what is above it are */
  GPtrArray *reverse; /* children first */
} Ordering;

static void ordering_clear(Ordering *ordering)
{
  g_hash_table_unref(ordering->below);
  g_hash_table_unref(ordering->above);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ordering, ordering_clear)

static int refuse_depth(const BgNode *node, GError **error)
{
  bg_set_error(error, ELOOP, "node '%s': more than %d nodes would lie below each other", node->name, BG_LEVELS_MAX);
  return 0;
}

/* The levels from `node` down; 0 on error. `depth` only bounds the recursion. */
static int visit(Ordering *ordering, BgNode *node, int depth, GError **error)
{
  gpointer known = g_hash_table_lookup(ordering->below, node);
  if (known == UNDER_WAY) {
    bg_set_error(error, ELOOP, "node '%s': would become its own child", node->name);
    return 0;
  }
  if (known)
    return GPOINTER_TO_INT(known);
  if (depth >= BG_LEVELS_MAX)
    return refuse_depth(node, error);
  g_hash_table_insert(ordering->below, node, UNDER_WAY);
  g_autoptr(GPtrArray) edges = bg_proposal_children(ordering->proposal, node);
  int levels = 1;
  for (guint i = 0; i < edges->len; i++) {
    int one = visit(ordering, bg_proposal_child(ordering->proposal, edges->pdata[i]), depth + 1, error);
    if (!one)
      return 0;
    levels = MAX(levels, one + 1);
  }
  g_hash_table_insert(ordering->below, node, GINT_TO_POINTER(levels));
  g_ptr_array_add(ordering->reverse, node);
  return levels;
}

/* The levels from `node` up. There are no cycles: each would hold a retargeted edge, and visit() has been below those. */
static int levels_above(Ordering *ordering, BgNode *node)
{
  gpointer known = g_hash_table_lookup(ordering->above, node);
  if (known)
    return GPOINTER_TO_INT(known);
  g_autoptr(GPtrArray) holders = bg_proposal_holders(ordering->proposal, node);
  int levels = 1;
  for (guint i = 0; i < holders->len; i++) {
    BgEdge *edge = bg_hold_edge(holders->pdata[i]);
    int one = edge ? levels_above(ordering, edge->parent) + 1 : 0;
    levels = MAX(levels, one);
  }
  g_hash_table_insert(ordering->above, node, GINT_TO_POINTER(levels));
  return levels;
}

/* Only new edges can make the graph deeper. */
static bool check_depth(Ordering *ordering, GError **error)
{
  const GArray *retargets = ordering->proposal->retargets;
  for (guint i = 0; i < retargets->len; i++) {
    const BgRetarget *retarget = &g_array_index(retargets, BgRetarget, i);
    BgNode *parent = retarget->edge->parent;
    if (!retarget->to)
      continue;
    int below = GPOINTER_TO_INT(g_hash_table_lookup(ordering->below, retarget->to));
    if (levels_above(ordering, parent) + below > BG_LEVELS_MAX) {
      refuse_depth(parent, error);
      return false;
    }
  }
  return true;
}

GPtrArray *bg_order_below(const BgProposal *proposal, GError **error)
{
  g_autoptr(GPtrArray) reverse = g_ptr_array_new();
  g_auto(Ordering) ordering = {proposal, g_hash_table_new(NULL, NULL), g_hash_table_new(NULL, NULL), reverse};
  for (guint i = 0; i < proposal->starts->len; i++)
    if (!visit(&ordering, proposal->starts->pdata[i], 0, error))
      return NULL;
  return check_depth(&ordering, error) ? g_steal_pointer(&reverse) : NULL;
}
