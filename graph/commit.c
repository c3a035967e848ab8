#include "graph/commit.h"

#include "graph/restructure.h"

static void commit_retarget(const BgRetarget *retarget)
{
  BgEdge *edge = retarget->edge;
  pthread_rwlock_wrlock(&edge->parent->life);
  if (edge->hold.node)
    g_ptr_array_remove(edge->hold.node->holders, &edge->hold);
  edge->hold.node = retarget->to;
  if (retarget->to)
    g_ptr_array_add(retarget->to->holders, &edge->hold);
  if (!g_ptr_array_find(edge->parent->children, edge, NULL))
    g_ptr_array_add(edge->parent->children, edge);
  pthread_rwlock_unlock(&edge->parent->life);
}

static void commit_move(const BgMove *move)
{
  g_ptr_array_remove(move->hold->node->holders, move->hold);
  move->hold->node = move->to;
  g_ptr_array_add(move->to->holders, move->hold);
}

static void commit_hold(const BgPlanHold *entry)
{
  BgHold *hold = entry->hold;
  hold->perm = entry->perm;
  hold->shared = entry->shared;
  atomic_store(&hold->granted, entry->perm);
  if (hold->is_user && !g_ptr_array_find(hold->node->holders, hold, NULL))
    g_ptr_array_add(hold->node->holders, hold);
}

static void commit_override(const BgOverride *override)
{
  BgNode *node = override->node;
  node->common = override->common;
  bg_options_clear(node->driver->options, node->options);
  g_free(node->options);
  node->options = override->options;
}

static void commit_mode(const BgPlanNode *entry, int64_t now)
{
  BgNode *node = entry->node;
  node->mode = entry->mode;
  if (!entry->lingers)
    node->settle_after = 0;
  else if (!node->settle_after)
    node->settle_after = now + BG_LINGER_MS * 1000;
  if (entry->upgrade)
    g_clear_error(&node->storage_error);
  if (!node->mode.writable)
    g_clear_pointer(&node->settle_failure, g_free);
}

/* Of the node and of those above it. All their users' gates are closed, for they reach it. */
static void refresh_limits_above(BgNode *node)
{
  bg_node_limits(node, &node->limits);
  for (guint i = 0; i < node->holders->len; i++) {
    BgEdge *edge = bg_hold_edge(node->holders->pdata[i]);
    if (edge)
      refresh_limits_above(edge->parent);
  }
}

static void refresh_limits(const BgProposal *proposal)
{
  g_autoptr(GHashTable) restructured = bg_restructure_nodes(proposal);
  GHashTableIter iter;
  gpointer node;
  g_hash_table_iter_init(&iter, restructured);
  while (g_hash_table_iter_next(&iter, &node, NULL))
    refresh_limits_above(node);
}

/* The permissions that users held before, to tell who began or ceased to write. */
static void note_writers(const BgPlan *plan, BgNews *news)
{
  for (guint i = 0; i < plan->holds->len; i++) {
    const BgPlanHold *entry = &g_array_index(plan->holds, BgPlanHold, i);
    BgPerm writes = BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED;
    if (!entry->hold->is_user || !(entry->hold->perm & writes) == !(entry->perm & writes))
      continue;
    bg_state_content_changed(entry->hold->node, news);
    if (bg_state_writes_beside_file(entry->hold, entry->hold->perm | entry->perm))
      bg_news_content(news, entry->hold->node);
  }
  for (guint i = 0; i < plan->proposal->retargets->len; i++) {
    BgNode *parent = g_array_index(plan->proposal->retargets, BgRetarget, i).edge->parent;
    bg_news_content(news, parent);
    bg_state_content_changed(parent, news);
  }
  for (guint i = 0; i < plan->proposal->moves->len; i++)
    bg_news_content(news, g_array_index(plan->proposal->moves, BgMove, i).to);
}

void bg_commit(const BgPlan *plan, BgNews *news)
{
  const BgProposal *proposal = plan->proposal;
  int64_t now = g_get_monotonic_time();
  note_writers(plan, news);
  for (guint i = 0; i < proposal->overrides->len; i++)
    commit_override(&g_array_index(proposal->overrides, BgOverride, i));
  for (guint i = 0; i < proposal->retargets->len; i++)
    commit_retarget(&g_array_index(proposal->retargets, BgRetarget, i));
  for (guint i = 0; i < proposal->moves->len; i++)
    commit_move(&g_array_index(proposal->moves, BgMove, i));
  for (guint i = 0; i < plan->holds->len; i++)
    commit_hold(&g_array_index(plan->holds, BgPlanHold, i));
  for (guint i = 0; i < plan->nodes->len; i++)
    commit_mode(&g_array_index(plan->nodes, BgPlanNode, i), now);
  refresh_limits(proposal);
}
