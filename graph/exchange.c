#include "graph/exchange.h"

#include "graph/change.h"
#include "graph/open.h"
#include "graph/remove.h"
#include "graph/view.h"

#include <errno.h>

/* `gone`: BgLeaving: the node, then what was opened for it and nobody else uses. */
typedef struct Going {
  const BgExchange *exchange;
  const GArray *gone;
} Going;

static BgNode *gone_at(const GArray *gone, guint i)
{
  return g_array_index(gone, BgLeaving, i).node;
}

/* ── who stands in the way: under graph->control ── */

static bool refuse_use(const BgNode *node, const BgHold *hold, GError **error)
{
  bg_set_error(error, EBUSY, "node '%s' is in use by %s", node->name, hold->what);
  return false;
}

/* A program that writes goes on with what it knows of the old content; a job would go on with its chain. */
static bool may_follow(const BgHold *hold)
{
  const BgUser *user = bg_hold_user((BgHold *)hold);
  return user && !hold->freeze && !(hold->perm & BG_PERM_ANY_WRITE) && !atomic_load(&user->passthrough);
}

static bool check_top(const BgNode *node, bool force, GError **error)
{
  if (node->snapshot) {
    bg_set_error(error, EROFS, BG_NODE_SNAPSHOT_REASON, node->name);
    return false;
  }
  for (guint i = 0; i < node->holders->len; i++) {
    BgHold *hold = node->holders->pdata[i];
    BgEdge *edge = bg_hold_edge(hold);
    const BgNode *view = edge && edge->parent->snapshot ? edge->parent : NULL;
    if (view && view->holders->len)
      return refuse_use(view, view->holders->pdata[0], error);
    if (!view && !(force && may_follow(hold)))
      return refuse_use(node, hold, error);
  }
  return true;
}

static bool contains(const GArray *gone, const BgNode *node)
{
  for (guint i = 0; i < gone->len; i++)
    if (gone_at(gone, i) == node)
      return true;
  return false;
}

static const BgHold *foreign_hold(const GArray *gone, const BgNode *child)
{
  for (guint i = 0; i < child->holders->len; i++) {
    const BgEdge *edge = bg_hold_edge(child->holders->pdata[i]);
    if (!edge || !contains(gone, edge->parent))
      return child->holders->pdata[i];
  }
  return NULL;
}

static bool check_free(const BgNode *node, const void *data, GError **error)
{
  const Going *going = data;
  if (node == going->exchange->node)
    return check_top(node, going->exchange->force, error);
  const BgHold *hold = foreign_hold(going->gone, node);
  return !hold || refuse_use(node, hold, error);
}

/* Adds the children of the `i`th that go with it. */
static void add_children(GArray *gone, guint i)
{
  const BgNode *node = gone_at(gone, i);
  for (guint c = 0; c < node->children->len; c++) {
    const BgEdge *edge = node->children->pdata[c];
    BgLeaving child = {edge->hold.node, false};
    if (child.node && child.node->implicit && !contains(gone, child.node) && !foreign_hold(gone, child.node))
      g_array_append_val(gone, child);
  }
}

/* ── names ── */

static void set_yields(const GArray *gone, bool yields)
{
  for (guint i = 0; i < gone->len; i++)
    gone_at(gone, i)->yields = yields;
}

static bool yield_names(const BgExchange *exchange, GArray *gone, GError **error)
{
  BgLeaving top = {exchange->node, false};
  BgGraph *graph = exchange->node->graph;
  g_array_append_val(gone, top);
  bg_graph_lock(graph);
  bool good = !exchange->node->yields && check_top(exchange->node, exchange->force, error);
  if (exchange->node->yields)
    bg_set_error(error, EBUSY, "node '%s' is being exchanged already", exchange->node->name);
  for (guint i = 0; good && i < gone->len; i++)
    add_children(gone, i);
  if (good)
    set_yields(gone, true);
  bg_graph_unlock(graph);
  return good;
}

static void take_names_back(BgGraph *graph, const GArray *gone)
{
  bg_graph_lock(graph);
  set_yields(gone, false);
  bg_graph_unlock(graph);
}

/* ── the old nodes ── */

static bool downgrade_all(const GArray *gone, GError **error)
{
  for (guint i = 0; i < gone->len; i++)
    if (!bg_remove_downgrade(gone_at(gone, i), error))
      return false;
  return true;
}

static bool move_users(BgNode *from, BgNode *to, GError **error)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  bg_graph_lock(from->graph);
  atomic_store(&to->generation,
               atomic_load(&from->generation) + 1); /* no page of the old one is taken for the new one's */
  for (guint i = 0; i < from->holders->len; i++)
    if (bg_hold_user(from->holders->pdata[i]))
      bg_proposal_move(&proposal, from->holders->pdata[i], to);
  bg_graph_unlock(from->graph);
  return !proposal.moves->len || bg_change_run(from->graph, &proposal, error);
}

static bool take_place(const BgExchange *exchange, GArray *gone, BgNode *to, GError **error)
{
  const Going going = {exchange, gone};
  guint left = 0;
  while (left < gone->len && bg_remove_begin(&g_array_index(gone, BgLeaving, left), check_free, &going, error))
    left++;
  if (left == gone->len && downgrade_all(gone, error) && move_users(exchange->node, to, error))
    return true;
  while (left-- > 0)
    bg_remove_give_up(&g_array_index(gone, BgLeaving, left));
  return false;
}

static void close_all(const GArray *gone)
{
  for (guint i = 0; i < gone->len; i++) {
    g_autoptr(GError) error = NULL;
    if (!bg_remove_closing(gone_at(gone, i), &error))
      g_warning("%s", error->message);
  }
}

/* ── the whole ── */

static bool accept_all(const BgExchange *exchange, const GPtrArray *opened, GError **error)
{
  for (guint i = 0; exchange->accept && i < opened->len; i++)
    if (!exchange->accept(exchange->data, opened->pdata[i], error))
      return false;
  return true;
}

static void show(BgBatch *batch, const GArray *gone, BgNode *to)
{
  g_autoptr(GPtrArray) hidden = g_ptr_array_new();
  for (guint i = 0; i < gone->len; i++)
    g_ptr_array_add(hidden, gone_at(gone, i));
  bg_views_drop(gone_at(gone, 0)); /* the new one's snapshots may have the same names */
  bg_open_publish(batch, hidden, to);
}

BgNode *bg_graph_exchange(BgGraph *graph, const BgExchange *exchange, GError **error)
{
  g_autoptr(GPtrArray) nodes = g_ptr_array_new();
  g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(BgLeaving));
  BgBatch batch = {graph, nodes};
  if (!yield_names(exchange, gone, error))
    return NULL;
  bg_dict_set(exchange->options, "node-name", exchange->node->name);
  BgNode *to = bg_open_node(&batch, exchange->options, exchange->node->name, BG_PROBE_ANY, NULL, error);
  bool done = to && accept_all(exchange, nodes, error) && bg_open_upgrade(&batch, error) &&
              take_place(exchange, gone, to, error);
  if (done) {
    show(&batch, gone, to);
    close_all(gone);
  } else {
    bg_open_drop(&batch);
  }
  take_names_back(graph, gone);
  return done ? to : NULL;
}
