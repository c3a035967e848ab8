#include "graph/state.h"

#include "graph/abandon.h"
#include "graph/events.h"
#include "graph/plan.h"

#include <string.h>

/* ── news ── */

static void note(GPtrArray **list, BgNode *node)
{
  if (!*list)
    *list = g_ptr_array_new();
  if (!g_ptr_array_find(*list, node, NULL))
    g_ptr_array_add(*list, node);
}

void bg_news_state(BgNews *news, BgNode *node)
{
  note(&news->state, node);
}

void bg_news_content(BgNews *news, BgNode *node)
{
  note(&news->content, node);
}

void bg_news_clear(BgNews *news)
{
  g_clear_pointer(&news->state, g_ptr_array_unref);
  g_clear_pointer(&news->content, g_ptr_array_unref);
}

void bg_news_tell(BgNews *news)
{
  for (guint i = 0; news->content && i < news->content->len; i++)
    bg_events_content(news->content->pdata[i]);
  for (guint i = 0; news->state && i < news->state->len; i++)
    bg_events_state(news->state->pdata[i]);
}

/* ── whose bytes are whose ── */

static void collect_below(BgNode *node, GHashTable *seen)
{
  if (!g_hash_table_add(seen, node))
    return;
  for (guint i = 0; i < node->children->len; i++) {
    BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node && !(edge->child.role & BG_ROLE_COW))
      collect_below(edge->hold.node, seen);
  }
}

/* A snapshot in the image of a node that is written stays as it is; one whose backing disk is written does not. */
static bool changes_with(const BgEdge *edge, GHashTable *written)
{
  return !(edge->child.role & BG_ROLE_SNAPSHOT) || !g_hash_table_contains(written, edge->hold.node);
}

static void collect_above(BgNode *node, GHashTable *written, GHashTable *seen)
{
  if (!g_hash_table_add(seen, node))
    return;
  for (guint i = 0; i < node->holders->len; i++) {
    BgEdge *edge = bg_hold_edge(node->holders->pdata[i]);
    if (edge && changes_with(edge, written))
      collect_above(edge->parent, written, seen);
  }
}

GPtrArray *bg_state_sharers(BgNode *node)
{
  g_autoptr(GHashTable) below = g_hash_table_new(NULL, NULL);
  g_autoptr(GHashTable) all = g_hash_table_new(NULL, NULL);
  GPtrArray *sharers = g_ptr_array_new();
  GHashTableIter iter;
  gpointer key;
  collect_below(node, below);
  g_hash_table_iter_init(&iter, below);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    collect_above(key, below, all);
  g_hash_table_iter_init(&iter, all);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    if (key != node)
      g_ptr_array_add(sharers, key);
  return sharers;
}

bool bg_state_writes_beside_file(const BgHold *hold, BgPerm perm)
{
  return hold->is_user && hold->freeze && (perm & BG_PERM_WRITE);
}

void bg_state_content_changed(BgNode *node, BgNews *news)
{
  g_autoptr(GPtrArray) sharers = bg_state_sharers(node);
  for (guint i = 0; i < sharers->len; i++)
    bg_news_content(news, sharers->pdata[i]);
}

/* ── writers ── */

static BgHold *user_on(const BgNode *node, BgPerm perm)
{
  for (guint i = 0; i < node->holders->len; i++) {
    BgHold *hold = node->holders->pdata[i];
    if (hold->is_user && (!perm || (hold->perm & perm)))
      return hold;
  }
  return NULL;
}

static bool is_written_by_job(const BgNode *node)
{
  for (guint i = 0; i < node->holders->len; i++) {
    const BgHold *hold = node->holders->pdata[i];
    if (bg_state_writes_beside_file(hold, hold->perm))
      return true;
  }
  return false;
}

/* Files: what jobs do they know themselves. */
static bool has_file_open(const BgNode *node)
{
  for (guint i = 0; i < node->holders->len; i++) {
    const BgHold *hold = node->holders->pdata[i];
    if (hold->is_user && !hold->freeze)
      return true;
  }
  return false;
}

static void publish_watchers(BgNode *node, GPtrArray *watchers)
{
  pthread_mutex_lock(&node->state_lock);
  GPtrArray *old = node->watchers;
  node->watchers = watchers;
  pthread_mutex_unlock(&node->state_lock);
  atomic_store(&node->watched, watchers->len > 0);
  g_ptr_array_unref(old);
}

static void resolve_writers(BgGraph *graph)
{
  g_autoptr(GHashTable) shadowed = g_hash_table_new(NULL, NULL);
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    GPtrArray *watchers = g_ptr_array_new();
    if (user_on(node, BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED)) {
      g_autoptr(GPtrArray) sharers = bg_state_sharers(node);
      for (guint j = 0; j < sharers->len; j++) {
        g_hash_table_add(shadowed, sharers->pdata[j]);
        if (user_on(sharers->pdata[j], BG_PERM_NONE))
          g_ptr_array_add(watchers, sharers->pdata[j]);
      }
    }
    if (is_written_by_job(node)) {
      g_hash_table_add(shadowed, node);
      if (has_file_open(node))
        g_ptr_array_add(watchers, node);
    }
    publish_watchers(node, watchers);
  }
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    atomic_store(&node->foreign_writer, g_hash_table_contains(shadowed, node));
  }
}

/* ── write states ── */

static char *available_reason(const BgNode *node)
{
  for (guint i = 0; i < node->holders->len; i++) {
    BgEdge *edge = bg_hold_edge(node->holders->pdata[i]);
    if (edge && (edge->child.role & BG_ROLE_COW))
      return g_strdup_printf("nobody writes; writing here changes what %s shows", edge->hold.what);
  }
  return g_strdup("nobody writes; the first writer reopens it read-write");
}

static void resolve_node(BgNode *node, BgNodeState *state)
{
  *state = (BgNodeState){.read_write = node->mode.writable, .pinned = node->pinned};
  BgHold *writer = user_on(node, BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED);
  if (writer) {
    state->write_state = BG_STATE_WRITABLE;
    state->reason = g_strdup_printf("%s writes", writer->what);
    return;
  }
  g_autoptr(GError) error = NULL;
  g_auto(BgProposal) proposal;
  g_auto(BgPlan) plan = {0};
  BgHold hold = {.node = node, .what = (char *)"a writer", .is_user = true};
  bg_proposal_init(&proposal);
  bg_proposal_hold(&proposal, &hold, bg_node_write_perm(node), BG_USER_WRITE_SHARED);
  if (bg_plan_make(&plan, &proposal, true, &state->write_state, &error)) {
    state->write_state = BG_STATE_AVAILABLE;
    state->reason = available_reason(node);
  } else {
    state->error = bg_error_errno(error);
    state->reason = g_strdup(error->message);
  }
}

static bool state_equal(const BgNodeState *a, const BgNodeState *b)
{
  return a->write_state == b->write_state && a->error == b->error && a->read_write == b->read_write &&
         a->pinned == b->pinned && strcmp(a->reason, b->reason) == 0;
}

void bg_state_resolve(BgGraph *graph, BgNews *news)
{
  bg_abandon_resolve(graph);
  resolve_writers(graph);
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    BgNodeState state;
    if (!node->live || node->snapshot) /* a view's state is for good */
      continue;
    resolve_node(node, &state);
    pthread_mutex_lock(&node->state_lock);
    BgNodeState old = node->state;
    bool equal = state_equal(&old, &state);
    node->state = state;
    pthread_mutex_unlock(&node->state_lock);
    bg_node_state_clear(&old);
    if (!equal)
      bg_news_state(news, node);
  }
}
