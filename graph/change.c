#include "graph/change.h"

#include "drivers/clock.h"
#include "graph/errand.h"
#include "graph/io.h"
#include "graph/mark.h"
#include "graph/restructure.h"

#include <errno.h>

/* How often a change begins anew because another one was faster. */
#define ATTEMPTS 5

typedef struct Change {
  BgGraph *graph;
  BgProposal *proposal;
  BgPlan plan;
  GPtrArray *closed;  /* BgGate * */
  bool restructures;  /* edges or options change, not only permissions: gates are closed */
  bool alone;         /* it bears the graph's mark */
  unsigned structure; /* the graph's when the plan was made */
  bool outdated;      /* failed only because that is another one by now */
  GPtrArray *opened;  /* BgPlanNode *, in order */
  GPtrArray *settled; /* BgPlanNode *, in order */
} Change;

static BgPlanNode *plan_node(Change *change, guint index)
{
  return &g_array_index(change->plan.nodes, BgPlanNode, index);
}

static void change_clear(Change *change)
{
  bg_plan_clear(&change->plan);
  g_ptr_array_unref(change->closed);
  g_ptr_array_unref(change->opened);
  g_ptr_array_unref(change->settled);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Change, change_clear)

/* ── marks ── */

/* A node that this change has to wait for; NULL: none. */
static BgNode *marked_by_another(Change *change)
{
  if (change->restructures && change->graph->restructured && change->plan.nodes->len)
    return plan_node(change, 0)->node;
  for (guint i = 0; i < change->plan.nodes->len; i++)
    if (plan_node(change, i)->node->changing)
      return plan_node(change, i)->node;
  return NULL;
}

/* Another change may have moved a user since the proposal was made. */
static void start_at_users(BgProposal *proposal)
{
  for (guint i = 0; i < proposal->holds->len; i++)
    bg_proposal_start(proposal, g_array_index(proposal->holds, BgPlanHold, i).hold->node);
}

/* Plans, waits while nodes of the plan are being changed by others (planning anew each time, for the graph has changed then), and
 * marks them. */
static bool plan_and_mark(Change *change, GError **error)
{
  struct timespec deadline = bg_clock_after(BG_MARK_TIMEOUT_MS);
  g_autoptr(GHashTable) restructured = bg_restructure_nodes(change->proposal);
  change->restructures = g_hash_table_size(restructured) > 0;
  for (;;) {
    start_at_users(change->proposal);
    if (!bg_plan_make(&change->plan, change->proposal, false, NULL, error))
      return false;
    BgNode *busy = marked_by_another(change);
    if (!busy)
      break;
    bg_plan_clear(&change->plan);
    if (pthread_cond_timedwait(&change->graph->changed, &change->graph->control, &deadline) == ETIMEDOUT) {
      bg_set_error(error, EBUSY, "node '%s' is being changed", busy->name);
      return false;
    }
  }
  for (guint i = 0; i < change->plan.nodes->len; i++)
    plan_node(change, i)->node->changing = true;
  change->structure = change->graph->structure;
  return true;
}

/* The graph's mark comes only when all is open: that may wait for a server, and other changes, and users who come, shall not wait with it. What
 * another change made of the structure meanwhile could close a cycle with this one. */
static bool mark_graph(Change *change, GError **error)
{
  BgGraph *graph = change->graph;
  if (!bg_mark_wait_structure(graph, true)) {
    bg_set_error(error, EBUSY, "the graph is being changed");
    return false;
  }
  change->outdated = change->structure != graph->structure;
  change->alone = !change->outdated;
  graph->restructured = change->alone;
  if (change->outdated)
    bg_set_error(error, EBUSY, "the graph has been changed");
  return change->alone;
}

static void unmark_all(Change *change, bool done)
{
  for (guint i = 0; i < change->plan.nodes->len; i++)
    plan_node(change, i)->node->changing = false;
  if (change->alone) {
    change->graph->restructured = false;
    change->graph->structure += done;
  }
  pthread_cond_broadcast(&change->graph->changed);
}

/* ── open ── */

static bool mode_changes(const BgPlanNode *entry)
{
  const BgMode *now = &entry->node->mode, *new = &entry->mode;
  return entry->override || now->writable != new->writable || now->direct != new->direct ||
         now->force_share != new->force_share || now->perm != new->perm || now->shared != new->shared;
}

static bool open_node(Change *change, BgPlanNode *entry, GError **error)
{
  BgNode *node = entry->node;
  if (!node->instance || !node->driver->change_open || !mode_changes(entry))
    return true;
  const void *options = entry->override ? entry->override->options : node->options;
  if (!node->driver->change_open(node->instance, &entry->mode, options, &entry->pending, error)) {
    bg_node_prefix_error(node, error);
    return false;
  }
  g_ptr_array_add(change->opened, entry);
  return true;
}

static bool step_open(Change *change, GError **error)
{
  for (guint i = change->plan.nodes->len; i-- > 0;)
    if (!open_node(change, plan_node(change, i), error))
      return false;
  return true;
}

/* ── settle ── */

static void grant_edges_to(Change *change, const BgNode *node)
{
  for (guint i = 0; i < change->plan.holds->len; i++) {
    BgPlanHold *hold = &g_array_index(change->plan.holds, BgPlanHold, i);
    BgEdge *edge = bg_hold_edge(hold->hold);
    if (edge && bg_proposal_child(change->proposal, edge) == node)
      atomic_fetch_or(&edge->hold.granted, hold->perm);
  }
}

static bool settle_node(Change *change, BgPlanNode *entry, GError **error)
{
  BgNode *node = entry->node;
  if (!g_ptr_array_find(change->opened, entry, NULL))
    return true;
  if (entry->downgrade) {
    int result = bg_io_flush(node);
    if (result) {
      bg_set_error_errno(error, -result, "node '%s': cannot flush", node->name);
      return false;
    }
  }
  if (node->driver->change_settle && !node->driver->change_settle(node->instance, entry->pending, error)) {
    bg_node_prefix_error(node, error);
    return false;
  }
  g_ptr_array_add(change->settled, entry);
  return true;
}

static bool step_settle(Change *change, GError **error)
{
  for (guint i = change->plan.nodes->len; i-- > 0;) {
    BgPlanNode *entry = plan_node(change, i);
    if (!entry->downgrade && !settle_node(change, entry, error))
      return false;
    grant_edges_to(change, entry->node);
  }
  for (guint i = 0; i < change->plan.nodes->len; i++) {
    BgPlanNode *entry = plan_node(change, i);
    if (entry->downgrade && !settle_node(change, entry, error))
      return false;
  }
  return true;
}

static bool step_last(Change *change, GError **error)
{
  return !change->proposal->last || change->proposal->last(change->proposal->data, error);
}

/* ── abort ── */

static void abort_node(BgPlanNode *entry)
{
  if (entry->node->driver->change_abort)
    entry->node->driver->change_abort(entry->node->instance, entry->pending);
}

static void step_abort(Change *change)
{
  for (guint i = change->settled->len; i-- > 0;) {
    abort_node(change->settled->pdata[i]);
    g_ptr_array_remove(change->opened, change->settled->pdata[i]);
  }
  for (guint i = change->opened->len; i-- > 0;)
    abort_node(change->opened->pdata[i]);
  for (guint i = 0; i < change->plan.holds->len; i++) {
    BgEdge *edge = bg_hold_edge(g_array_index(change->plan.holds, BgPlanHold, i).hold);
    if (edge)
      atomic_store(&edge->hold.granted, edge->hold.perm);
  }
}

/* ── commit ── */

static void commit_drivers(Change *change)
{
  for (guint i = 0; i < change->opened->len; i++) {
    BgPlanNode *entry = change->opened->pdata[i];
    if (entry->node->driver->change_commit)
      entry->node->driver->change_commit(entry->node->instance, entry->pending);
  }
}

/* ── the whole ── */

static bool close_gates(Change *change, GError **error)
{
  if (!change->restructures)
    return true;
  bg_graph_lock(change->graph);
  bool alone = mark_graph(change, error);
  g_autoptr(GPtrArray) gates = alone ? bg_restructure_gates(change->graph, change->proposal) : NULL;
  bg_graph_unlock(change->graph);
  return alone && bg_restructure_close(change->graph, gates, change->closed, error);
}

static bool run_steps(Change *change, GError **error)
{
  if (step_open(change, error) && close_gates(change, error) && step_settle(change, error) &&
      step_last(change, error)) {
    commit_drivers(change);
    return true;
  }
  step_abort(change);
  return false;
}

static bool anything_lingers(Change *change)
{
  for (guint i = 0; i < change->plan.nodes->len; i++)
    if (plan_node(change, i)->lingers)
      return true;
  return false;
}

/* Nodes that are still being opened, or are gone, lie above those that are shown and change nothing for them. */
static bool concerns_live(Change *change)
{
  for (guint i = 0; i < change->plan.nodes->len; i++)
    if (plan_node(change, i)->node->live)
      return true;
  return false;
}

static bool run_attempt(BgGraph *graph, BgProposal *proposal, bool *outdated, GError **error)
{
  g_auto(Change) change = {.graph = graph,
                           .proposal = proposal,
                           .closed = g_ptr_array_new(),
                           .opened = g_ptr_array_new(),
                           .settled = g_ptr_array_new()};
  g_auto(BgNews) news = {0};
  *outdated = false;

  bg_graph_lock(graph);
  if (!plan_and_mark(&change, error)) {
    bg_graph_unlock(graph);
    return false;
  }
  bg_graph_unlock(graph);

  bool done = run_steps(&change, error);

  bg_graph_lock(graph);
  if (done)
    bg_commit(&change.plan, &news);
  unmark_all(&change, done);
  if (done && concerns_live(&change))
    bg_state_resolve(graph, &news);
  bg_restructure_open(change.closed);
  bool lingers = done && anything_lingers(&change);
  bg_graph_unlock(graph);
  bg_news_tell(&news);
  /* a downgrade has to be timed; or the storage is not as it was thought to be */
  if (lingers || !done)
    bg_alarm_ring(&graph->alarm);
  *outdated = change.outdated;
  return done;
}

static bool run_once(BgGraph *graph, BgProposal *proposal, GError **error)
{
  g_autoptr(GError) failure = NULL;
  bool outdated = true;
  for (unsigned i = 0; i < ATTEMPTS && outdated; i++) {
    g_clear_error(&failure);
    if (run_attempt(graph, proposal, &outdated, &failure))
      return true;
  }
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

static void collect_related(BgNode *node, GHashTable *related)
{
  if (!g_hash_table_add(related, node))
    return;
  for (guint i = 0; i < node->children->len; i++) {
    BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node)
      collect_related(edge->hold.node, related);
  }
  for (guint i = 0; i < node->holders->len; i++) {
    BgEdge *edge = bg_hold_edge(node->holders->pdata[i]);
    if (edge)
      collect_related(edge->parent, related);
  }
}

/* The nodes that a change can have to do with, however far away: none of another image's, whose storage may not answer. */
static GHashTable *related_nodes(BgGraph *graph, const BgProposal *proposal)
{
  GHashTable *related = g_hash_table_new(NULL, NULL);
  bg_graph_lock(graph);
  for (guint i = 0; i < proposal->starts->len; i++)
    collect_related(proposal->starts->pdata[i], related);
  for (guint i = 0; i < proposal->holds->len; i++)
    collect_related(g_array_index(proposal->holds, BgPlanHold, i).hold->node, related);
  for (guint i = 0; i < proposal->retargets->len; i++) {
    const BgRetarget *retarget = &g_array_index(proposal->retargets, BgRetarget, i);
    collect_related(retarget->edge->parent, related);
    if (retarget->to)
      collect_related(retarget->to, related);
  }
  bg_graph_unlock(graph);
  return related;
}

static bool something_waits(BgGraph *graph, GHashTable *related)
{
  bool found = false;
  bg_graph_lock(graph);
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    found = found || (node->settle_after && g_hash_table_contains(related, node));
  }
  bg_graph_unlock(graph);
  return found;
}

static bool settle_among(BgGraph *graph, GHashTable *among, GError **error);

bool bg_change_run(BgGraph *graph, BgProposal *proposal, GError **error)
{
  g_autoptr(GError) first = NULL;
  if (run_once(graph, proposal, &first))
    return true;
  /* what only waits for its downgrade must not stand in anybody's way */
  g_autoptr(GHashTable) related = first->code == EBUSY && !proposal->settle ? related_nodes(graph, proposal) : NULL;
  if (related && something_waits(graph, related)) {
    settle_among(graph, related, NULL);
    return run_once(graph, proposal, error);
  }
  g_propagate_error(error, g_steal_pointer(&first));
  return false;
}

void bg_change_drop_hold(BgHold *hold)
{
  BgNode *node = hold->node;
  BgEdge *edge = bg_hold_edge(hold);
  g_auto(BgNews) news = {0};
  bg_graph_lock(node->graph);
  if (edge)
    pthread_rwlock_wrlock(&edge->parent->life);
  g_ptr_array_remove(node->holders, hold);
  hold->perm = BG_PERM_NONE;
  hold->shared = BG_PERM_ALL;
  atomic_store(&hold->granted, BG_PERM_NONE);
  if (edge) {
    hold->node = NULL;
    pthread_rwlock_unlock(&edge->parent->life);
  }
  node->settle_after = g_get_monotonic_time();
  bg_state_resolve(node->graph, &news);
  bg_graph_unlock(node->graph);
  bg_news_tell(&news);
  bg_alarm_ring(&node->graph->alarm);
}

/* ── downgrades ── */

/* Those of `among` only (NULL: of all). What is on its way to be settled comes back when that is done. */
static BgNode *next_due(BgGraph *graph, bool all, GHashTable *among, GHashTable *tried, int64_t *next)
{
  BgNode *found = NULL;
  int64_t now = g_get_monotonic_time();
  *next = INT64_MAX;
  bg_graph_lock(graph);
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    if (!node->settle_after || (among && !g_hash_table_contains(among, node)))
      continue;
    if (!found && (all || node->settle_after <= now) && !g_hash_table_contains(tried, node))
      found = node;
    if (!bg_errand_under_way(node, BG_ERRAND_SETTLE))
      *next = MIN(*next, node->settle_after);
  }
  bg_graph_unlock(graph);
  return found;
}

static void remember_failure(BgNode *node, const GError *error)
{
  bg_graph_lock(node->graph);
  if (g_strcmp0(node->settle_failure, error->message) != 0) {
    g_warning("node '%s' stays read-write: %s", node->name, error->message);
    g_free(node->settle_failure);
    node->settle_failure = g_strdup(error->message);
  }
  if (node->settle_after)
    node->settle_after = g_get_monotonic_time() + G_USEC_PER_SEC;
  bg_graph_unlock(node->graph);
}

static bool settle(BgNode *node, GError **error)
{
  g_autoptr(GError) failure = NULL;
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  bg_proposal_start(&proposal, node);
  proposal.settle = true;
  if (run_once(node->graph, &proposal, &failure))
    return true;
  remember_failure(node, failure);
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

static bool settle_among(BgGraph *graph, GHashTable *among, GError **error)
{
  g_autoptr(GHashTable) tried = g_hash_table_new(NULL, NULL);
  int64_t later;
  bool clean = true;
  for (BgNode *node; (node = next_due(graph, true, among, tried, &later));) {
    g_hash_table_add(tried, node);
    clean = settle(node, clean ? error : NULL) && clean;
  }
  return clean;
}

bool bg_change_settle(BgGraph *graph, GError **error)
{
  return settle_among(graph, NULL, error);
}

static void settle_errand(BgNode *node)
{
  settle(node, NULL);
  bg_alarm_ring(&node->graph->alarm);
}

int64_t bg_change_settle_due(BgGraph *graph)
{
  g_autoptr(GHashTable) tried = g_hash_table_new(NULL, NULL);
  int64_t later;
  for (BgNode *node; (node = next_due(graph, false, NULL, tried, &later));) {
    g_hash_table_add(tried, node);
    if (bg_node_may_wait(node))
      bg_errand_run(node, BG_ERRAND_SETTLE, settle_errand);
    else
      settle(node, NULL);
  }
  return later;
}
