#include "graph/inventory.h"

#include "graph/change.h"
#include "graph/node-options.h"
#include "graph/node.h"
#include "graph/snapshot.h"
#include "graph/view.h"

/* ── memory ── */

static void edge_free(gpointer data)
{
  BgSeenEdge *edge = data;
  g_free(edge->name);
  g_free(edge);
}

static void user_free(gpointer data)
{
  BgSeenUser *user = data;
  g_free(user->what);
  g_free(user);
}

static void option_free(gpointer data)
{
  BgSeenOption *option = data;
  g_free(option->value);
  g_free(option);
}

static void fact_free(gpointer data)
{
  BgSeenFact *fact = data;
  g_free(fact->name);
  g_variant_unref(fact->value);
  g_free(fact);
}

static void node_free(gpointer data)
{
  BgSeenNode *seen = data;
  g_ptr_array_unref(seen->edges);
  g_ptr_array_unref(seen->users);
  g_ptr_array_unref(seen->options);
  g_ptr_array_unref(seen->facts);
  if (seen->bitmaps)
    g_ptr_array_unref(seen->bitmaps);
  if (seen->snapshots)
    g_ptr_array_unref(seen->snapshots);
  bg_node_state_clear(&seen->state);
  g_free(seen->filename);
  g_free(seen->name);
  g_free(seen);
}

void bg_inventory_free(BgInventory *inventory)
{
  if (!inventory)
    return;
  g_ptr_array_unref(inventory->nodes);
  g_free(inventory);
}

/* ── options ── */

static void add_options(BgSeenNode *seen, const BgOption *table, const void *values)
{
  for (; table && values && table->name; table++) {
    char *value = bg_option_format(table, values);
    if (!value)
      continue;
    BgSeenOption *option = g_new(BgSeenOption, 1);
    *option = (BgSeenOption){table->name, value, table->type};
    g_ptr_array_add(seen->options, option);
  }
}

/* ── pointers, under graph->control ── */

typedef struct Looking {
  BgGraph *graph;
  BgInventory *inventory;
  GHashTable *seen; /* BgNode * → BgSeenNode * */
} Looking;

static BgSeenNode *look_at_node(Looking *looking, BgNode *node);

static void look_at_edge(Looking *looking, BgSeenNode *parent, const BgEdge *edge)
{
  if (!edge->hold.node)
    return;
  BgSeenEdge *seen = g_new(BgSeenEdge, 1);
  BgSeenNode *child = look_at_node(looking, edge->hold.node);
  *seen = (BgSeenEdge){g_strdup(edge->child.name), edge->child.role, edge->hold.perm, edge->hold.shared, child};
  child->has_parent |= !(edge->child.role & BG_ROLE_SNAPSHOT);
  g_ptr_array_insert(parent->edges, 0, seen);
}

static void look_at_user(BgSeenNode *node, BgHold *hold)
{
  BgSeenUser *seen = g_new(BgSeenUser, 1);
  *seen = (BgSeenUser){g_strdup(hold->what), hold->perm, hold->shared, bg_hold_user(hold)->passthrough};
  g_ptr_array_add(node->users, seen);
}

/* Adds the node after everything below it; the list is turned around in the end. Children are visited last first for the same
 * reason. The core bounds the depth. */
static BgSeenNode *look_at_node(Looking *looking, BgNode *node)
{
  BgSeenNode *seen = g_hash_table_lookup(looking->seen, node);
  if (seen)
    return seen;
  seen = g_new0(BgSeenNode, 1);
  seen->node = node;
  seen->name = g_strdup(node->name);
  seen->driver = node->driver;
  seen->read_write = node->mode.writable;
  seen->edges = g_ptr_array_new_with_free_func(edge_free);
  seen->users = g_ptr_array_new_with_free_func(user_free);
  seen->options = g_ptr_array_new_with_free_func(option_free);
  seen->facts = g_ptr_array_new_with_free_func(fact_free);
  g_hash_table_insert(looking->seen, node, seen);
  add_options(seen, bg_node_options_table(), &node->common);
  add_options(seen, node->driver->options, node->options);
  for (guint i = node->children->len; i-- > 0;)
    look_at_edge(looking, seen, node->children->pdata[i]);
  for (guint i = 0; i < node->holders->len; i++)
    if (!bg_hold_edge(node->holders->pdata[i]))
      look_at_user(seen, node->holders->pdata[i]);
  g_ptr_array_add(looking->inventory->nodes, seen);
  return seen;
}

static void turn_around(GPtrArray *array)
{
  for (guint i = 0; i < array->len / 2; i++) {
    gpointer other = array->pdata[array->len - 1 - i];
    array->pdata[array->len - 1 - i] = array->pdata[i];
    array->pdata[i] = other;
  }
}

static void look_at_pointers(BgGraph *graph, BgInventory *inventory)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
  Looking looking = {graph, inventory, seen};
  bg_graph_lock(graph);
  for (guint i = graph->nodes->len; i-- > 0;) {
    BgNode *node = graph->nodes->pdata[i];
    if (node->live)
      look_at_node(&looking, node);
  }
  bg_graph_unlock(graph);
  turn_around(inventory->nodes);
}

/* ── what drivers say ── */

typedef struct Facts {
  BgInfo info;
  GPtrArray *into;
} Facts;

static void add_fact(BgInfo *info, const char *name, GVariant *value)
{
  BgSeenFact *fact = g_new(BgSeenFact, 1);
  *fact = (BgSeenFact){g_strdup(name), g_variant_ref_sink(value)};
  g_ptr_array_add(((Facts *)info)->into, fact);
}

/* One control call of a node at a time: marked as for a change. A node that is being changed is not waited for. */
static bool try_mark(BgNode *node)
{
  bg_graph_lock(node->graph);
  bool free = node->live && !node->changing;
  if (free)
    node->changing = true;
  bg_graph_unlock(node->graph);
  return free;
}

static void unmark(BgNode *node)
{
  bg_graph_lock(node->graph);
  bg_mark_drop(node);
  bg_graph_unlock(node->graph);
}

static void add_kept_bitmaps(BgSeenNode *seen, GPtrArray *kept)
{
  if (kept)
    g_ptr_array_extend_and_steal(seen->bitmaps, kept);
}

static void ask_driver(BgSeenNode *seen)
{
  BgNode *node = seen->node;
  Facts facts = {{add_fact}, seen->facts};
  bool marked = try_mark(node);
  seen->bitmaps = bg_bitmaps_look(node->host.bitmaps);
  if (!marked)
    return;
  pthread_rwlock_rdlock(&node->life);
  if (node->instance && node->driver->info)
    node->driver->info(node->instance, &facts.info);
  if (node->instance && node->driver->kept_bitmaps)
    add_kept_bitmaps(seen, node->driver->kept_bitmaps(node->instance));
  pthread_rwlock_unlock(&node->life);
  unmark(node);
}

BgInventory *bg_inventory_take(BgGraph *graph)
{
  BgInventory *inventory = g_new0(BgInventory, 1);
  inventory->nodes = g_ptr_array_new_with_free_func(node_free);
  look_at_pointers(graph, inventory);
  for (guint i = 0; i < inventory->nodes->len; i++) {
    BgSeenNode *seen = inventory->nodes->pdata[i];
    bg_node_state(seen->node, &seen->state);
    seen->filename = bg_node_filename(seen->node);
    seen->size = bg_node_size(seen->node);
    seen->allocated = bg_node_allocated(seen->node);
    ask_driver(seen);
    seen->snapshots = bg_node_first_snapshots(seen->node, BG_VIEWS_MAX, &seen->snapshot_count);
  }
  return inventory;
}
