#include "graph/view.h"

#include "graph/events.h"
#include "graph/freeze.h"
#include "graph/host.h"
#include "graph/mark.h"
#include "graph/name.h"

#include <errno.h>
#include <string.h>

/* ── which there are: under graph->control ── */

static BgNode *view_of(BgHold *hold)
{
  BgEdge *edge = bg_hold_edge(hold);
  return edge && edge->parent->snapshot ? edge->parent : NULL;
}

static GPtrArray *list_views(const BgNode *node)
{
  GPtrArray *views = g_ptr_array_new();
  for (guint i = 0; i < node->holders->len; i++) {
    BgNode *view = view_of(node->holders->pdata[i]);
    if (view)
      g_ptr_array_add(views, view);
  }
  return views;
}

BgNode *bg_views_find(const BgNode *node, const char *id)
{
  for (guint i = 0; i < node->holders->len; i++) {
    BgNode *view = view_of(node->holders->pdata[i]);
    if (view && strcmp(view->snapshot->id, id) == 0)
      return view;
  }
  return NULL;
}

const BgHold *bg_views_first_use(const BgNode *node)
{
  for (guint i = 0; i < node->holders->len; i++) {
    BgNode *view = view_of(node->holders->pdata[i]);
    if (!view)
      return node->holders->pdata[i];
    if (view->holders->len)
      return view->holders->pdata[0];
  }
  return NULL;
}

void bg_views_set_leaving(const BgNode *node, bool leaving)
{
  for (guint i = 0; i < node->holders->len; i++) {
    BgNode *view = view_of(node->holders->pdata[i]);
    if (view)
      view->leaving = leaving;
  }
}

/* ── kept closed: under graph->control ── */

bool bg_views_check_open(const BgNode *node, GError **error)
{
  if (!node->views_closed)
    return true;
  bg_set_error(error, EBUSY, "node '%s': its snapshots are not to be had during %s, which changes what they stand on",
               node->name, node->views_closed->what);
  return false;
}

/* False: somebody is there. Whoever was on his way is there when the mark is gone. */
static bool wait_unused(BgNode *view, GError **error)
{
  bool marked = bg_mark_take(view), used = marked && view->holders->len;
  if (!marked)
    bg_set_error(error, EBUSY, "node '%s' is being changed", view->name);
  else
    bg_mark_drop(view);
  if (used)
    bg_set_error(error, EBUSY, "node '%s' is in use by %s", view->name, ((BgHold *)view->holders->pdata[0])->what);
  return marked && !used;
}

bool bg_views_close(BgNode *node, const BgFreeze *by, GError **error)
{
  if (!bg_views_check_open(node, error))
    return false;
  node->views_closed = by;
  g_autoptr(GPtrArray) views = list_views(node);
  for (guint i = 0; i < views->len; i++)
    if (!wait_unused(views->pdata[i], error)) {
      node->views_closed = NULL;
      return false;
    }
  return true;
}

void bg_views_open(BgNode *node, const BgFreeze *by)
{
  if (node->views_closed == by)
    node->views_closed = NULL;
}

/* ── going ── */

static void drop_view(BgNode *view)
{
  BgGraph *graph = view->graph;
  BgEdge *edge = view->children->pdata[0];
  bg_graph_lock(graph);
  while (!bg_mark_take(view))
    g_warning("node '%s': is being changed for long, still waiting", view->name);
  bool shown = view->live;
  view->live = false;
  view->leaving = true;
  pthread_rwlock_wrlock(&view->life);
  void *instance = view->instance;
  view->instance = NULL;
  g_ptr_array_remove(edge->hold.node->holders, &edge->hold);
  edge->hold.node = NULL;
  pthread_rwlock_unlock(&view->life);
  g_ptr_array_remove(graph->nodes, view);
  g_ptr_array_add(graph->graveyard, view);
  bg_mark_drop(view);
  bg_graph_unlock(graph);
  view->driver->close(instance);
  if (shown)
    bg_events_removed(view);
}

void bg_views_drop(BgNode *node)
{
  bg_graph_lock(node->graph);
  g_autoptr(GPtrArray) views = list_views(node);
  bg_graph_unlock(node->graph);
  for (guint i = 0; i < views->len; i++)
    drop_view(views->pdata[i]);
}

/* ── coming ── */

/* What makes two snapshots the same: an id is used again by programs that begin to count anew. */
static char *key_of(const BgSnapshot *snapshot)
{
  return g_strdup_printf("%s/%s/%u.%u/%" G_GUINT64_FORMAT, snapshot->id, snapshot->name, snapshot->date_sec,
                         snapshot->date_nsec, snapshot->size);
}

static void set_state(BgNode *view)
{
  bg_node_state_clear(&view->state);
  view->state = (BgNodeState){.write_state = BG_STATE_READ_ONLY, .error = EROFS};
  view->state.reason = g_strdup_printf(BG_NODE_SNAPSHOT_REASON, view->name);
}

/* In nobody's list yet. NULL: the driver cannot show it. Takes `name` and `snapshot` if not. */
static BgNode *view_new(BgNode *node, char *name, BgSnapshot *snapshot)
{
  void *instance = node->driver->view_open(node->instance, snapshot->id);
  if (!instance)
    return NULL;
  BgNode *view = bg_node_new(node->graph, name, node->driver->view);
  bg_host_init(view);
  view->snapshot = snapshot;
  view->instance = instance;
  view->common.read_only = true;
  view->options = g_malloc0(1);
  g_ptr_array_add(view->children, bg_edge_new(view, "disk", BG_ROLE_SNAPSHOT | BG_ROLE_PRIMARY));
  bg_node_limits(view, &view->limits);
  set_state(view);
  return view;
}

/* Under graph->control. */
static void publish(BgNode *node, BgNode *view)
{
  BgEdge *edge = view->children->pdata[0];
  edge->hold.node = node;
  g_ptr_array_add(node->holders, &edge->hold);
  g_ptr_array_add(node->graph->nodes, view);
  view->live = true;
}

/* Names that are in use, each with the number that was tried last behind it. */
static char *choose_name(GHashTable *names, const BgNode *node, const BgSnapshot *snapshot)
{
  char *name = bg_name_for_snapshot(node->name, snapshot->name, 0);
  guint number = GPOINTER_TO_UINT(g_hash_table_lookup(names, name));
  while (number) {
    char *numbered = bg_name_for_snapshot(node->name, snapshot->name, ++number);
    g_hash_table_replace(names, name, GUINT_TO_POINTER(number));
    name = numbered;
    if (!g_hash_table_contains(names, name))
      break;
  }
  g_hash_table_insert(names, g_strdup(name), GUINT_TO_POINTER(1));
  return name;
}

static GHashTable *names_in_use(BgGraph *graph)
{
  GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  bg_graph_lock(graph);
  for (guint i = 0; i < graph->nodes->len; i++)
    g_hash_table_insert(names, g_strdup(((BgNode *)graph->nodes->pdata[i])->name), GUINT_TO_POINTER(1));
  bg_graph_unlock(graph);
  return names;
}

/* Views of the snapshots that have none; takes those out of the list (NULL stays). */
static GPtrArray *new_views(BgNode *node, GPtrArray *snapshots, GHashTable *known)
{
  GPtrArray *views = g_ptr_array_new();
  g_autoptr(GHashTable) names = names_in_use(node->graph);
  for (guint i = 0; i < snapshots->len; i++) {
    BgSnapshot *snapshot = snapshots->pdata[i];
    g_autofree char *key = key_of(snapshot);
    if (!g_hash_table_add(known, g_steal_pointer(&key)))
      continue;
    char *name = choose_name(names, node, snapshot);
    BgNode *view = view_new(node, name, snapshot);
    if (view) {
      g_ptr_array_add(views, view);
      snapshots->pdata[i] = NULL;
    } else {
      g_message("node '%s': cannot be shown", name);
      g_free(name);
    }
  }
  return views;
}

/* ── both ── */

/* Nobody comes to the view any more; false where somebody is there, or may be. */
static bool retire(BgNode *view)
{
  bg_graph_lock(view->graph);
  bool marked = bg_mark_take(view), unused = marked && !view->holders->len;
  view->leaving = view->leaving || marked;
  if (marked)
    bg_mark_drop(view);
  bg_graph_unlock(view->graph);
  return unused;
}

/* Drops the views that are not of `snapshots`; the keys of those that stay. *all: none was in use. */
static GHashTable *drop_old(const GPtrArray *views, const GPtrArray *snapshots, bool *all)
{
  *all = true;
  GHashTable *known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GHashTable) wanted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < snapshots->len; i++)
    g_hash_table_add(wanted, key_of(snapshots->pdata[i]));
  for (guint i = 0; i < views->len; i++) {
    BgNode *view = views->pdata[i];
    g_autofree char *key = key_of(view->snapshot);
    if (g_hash_table_contains(wanted, key))
      g_hash_table_add(known, g_steal_pointer(&key));
    else if (retire(view))
      drop_view(view);
    else
      *all = false;
  }
  return known;
}

/* The node is marked. False: it has to be done again, when a view of what is gone is not in use any more. */
static bool sync_marked(BgNode *node)
{
  bool all;
  BgGraph *graph = node->graph;
  bg_graph_lock(graph);
  g_autoptr(GPtrArray) old = list_views(node);
  bg_graph_unlock(graph);
  size_t count;
  g_autoptr(GPtrArray) snapshots = node->driver->snapshots(node->instance, BG_VIEWS_MAX, &count);
  if (count > BG_VIEWS_MAX && graph->listener) /* else nobody is shown anything */
    g_message("node '%s': only %d of its %zu snapshots are shown", node->name, BG_VIEWS_MAX, count);
  g_autoptr(GHashTable) known = drop_old(old, snapshots, &all);
  g_autoptr(GPtrArray) new = new_views(node, snapshots, known);
  bg_graph_lock(graph);
  for (guint i = 0; i < new->len; i++)
    publish(node, new->pdata[i]);
  bg_graph_unlock(graph);
  for (guint i = 0; i < new->len; i++)
    bg_events_added(new->pdata[i]);
  return all;
}

void bg_views_sync(BgNode *node)
{
  if (!node->driver->snapshots)
    return;
  bg_graph_lock(node->graph);
  bool marked = bg_mark_take(node);
  bool here = marked && node->live && !node->leaving;
  atomic_store(&node->snapshots_changed, !marked);
  bg_graph_unlock(node->graph);
  if (here && !sync_marked(node))
    atomic_store(&node->snapshots_changed, true);
  bg_graph_lock(node->graph);
  if (marked)
    bg_mark_drop(node);
  bg_graph_unlock(node->graph);
}
