#include "graph/snapshot.h"

#include "graph/alone.h"
#include "graph/escape.h"
#include "graph/mark.h"
#include "graph/state.h"
#include "graph/step.h"
#include "graph/view.h"

#include <errno.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

GPtrArray *bg_node_first_snapshots(BgNode *node, size_t most, size_t *count)
{
  GPtrArray *list = NULL;
  *count = 0;
  pthread_rwlock_rdlock(&node->life);
  if (node->instance && node->driver->snapshots)
    list = node->driver->snapshots(node->instance, most, count);
  pthread_rwlock_unlock(&node->life);
  return list;
}

GPtrArray *bg_node_snapshots(BgNode *node)
{
  size_t count;
  return bg_node_first_snapshots(node, SIZE_MAX, &count);
}

const BgSnapshot *bg_snapshots_find(const GPtrArray *snapshots, const char *text, GError **error)
{
  const BgSnapshot *found = NULL;
  guint count = 0;
  for (guint i = 0; i < snapshots->len; i++) {
    const BgSnapshot *snapshot = snapshots->pdata[i];
    if (strcmp(snapshot->name, text) != 0 && strcmp(snapshot->id, text) != 0)
      continue;
    found = snapshot;
    count++;
  }
  if (count == 1)
    return found;
  g_autofree char *shown = bg_escape(text);
  if (count)
    bg_set_error(error, EINVAL, "'%s' can mean %u snapshots", shown, count);
  else
    bg_set_error(error, ENOENT, "there is no snapshot '%s'", shown);
  return NULL;
}

/* ── the calls ── */

typedef bool Call(BgNode *node, const char *argument, GError **error);

/* `what` for messages, `perm` and `shared` what is taken of the node for it. */
static bool call_alone(BgNode *node, const char *what, BgPerm perm, BgPerm shared, Call *call, const char *argument,
                       GError **error)
{
  g_autofree char *shown = bg_escape(argument), *who = g_strdup_printf("%s '%s'", what, shown);
  g_autoptr(BgUser) user = bg_user_new(node, who, perm, shared, error);
  BgAlone alone;
  if (!user || !bg_alone_begin(&alone, node->graph, &node, 1, error))
    return false;
  bool done = call(node, argument, error);
  bg_alone_end(&alone);
  if (!done)
    bg_node_prefix_error(node, error);
  return done;
}

static bool check_driver(const BgNode *node, GError **error)
{
  if (node->driver->snapshots)
    return true;
  bg_set_error(error, ENOTSUP, "node '%s': the format %s has no internal snapshots", node->name, node->driver->name);
  return false;
}

static bool create(BgNode *node, const char *name, GError **error)
{
  bg_graph_lock(node->graph);
  bool open = bg_views_check_open(node, error);
  bg_graph_unlock(node->graph);
  return open && node->driver->snapshot_create(node->instance, name, error);
}

bool bg_node_snapshot_create(BgNode *node, const char *name, GError **error)
{
  bool done = check_driver(node, error) &&
              call_alone(node, "new snapshot", BG_PERM_WRITE_UNCHANGED, BG_PERM_ALL, create, name, error);
  if (done)
    bg_views_sync(node);
  return done;
}

typedef struct CreateStep {
  BgStep step;
  BgNode *node;
  BgUser *user;
  char *name;
} CreateStep;

static bool step_propose(BgStep *step, BgProposal *proposal, GError **error)
{
  (void)error;
  bg_proposal_drain(proposal, ((CreateStep *)step)->node);
  return true;
}

static const BgSnapshot *find_named(const GPtrArray *list, const char *name)
{
  for (guint i = 0; i < list->len; i++)
    if (strcmp(((BgSnapshot *)list->pdata[i])->name, name) == 0)
      return list->pdata[i];
  return NULL;
}

static bool step_act(BgStep *base, GError **error)
{
  const CreateStep *step = (CreateStep *)base;
  BgNode *node = step->node;
  g_autoptr(GPtrArray) list = bg_node_snapshots(node);
  if (find_named(list, step->name)) {
    g_autofree char *shown = bg_escape(step->name);
    bg_set_error(error, EEXIST, "Snapshot with name '%s' already exists on device '%s'", shown, node->name);
    return false;
  }
  bool done = create(node, step->name, error);
  if (!done)
    bg_node_prefix_error(node, error);
  return done;
}

static void step_undo(BgStep *base)
{
  const CreateStep *step = (CreateStep *)base;
  g_autoptr(GPtrArray) list = bg_node_snapshots(step->node);
  g_autoptr(GError) error = NULL;
  const BgSnapshot *taken = find_named(list, step->name);
  if (taken && !step->node->driver->snapshot_delete(step->node->instance, taken->id, &error))
    g_warning("node '%s': a snapshot of a transaction that failed stays: %s", step->node->name, error->message);
}

static void step_end(BgStep *base, bool done)
{
  CreateStep *step = (CreateStep *)base;
  bg_user_free(step->user);
  if (done)
    bg_views_sync(step->node);
  g_free(step->name);
  g_free(step);
}

BgStep *bg_snapshot_step_new(BgNode *node, const char *name, GError **error)
{
  static const BgStepKind kind = {.propose = step_propose, .act = step_act, .undo = step_undo, .end = step_end};
  g_autofree char *shown = bg_escape(name), *who = g_strdup_printf("new snapshot '%s'", shown);
  BgUser *user = check_driver(node, error) ? bg_user_new(node, who, BG_PERM_WRITE_UNCHANGED, BG_PERM_ALL, error) : NULL;
  if (!user)
    return NULL;
  CreateStep *step = g_new0(CreateStep, 1);
  *step = (CreateStep){{&kind}, node, user, g_strdup(name)};
  return &step->step;
}

/* All of it may be something else. */
static bool apply_marked(BgNode *node, const char *id, GError **error)
{
  bg_bitmaps_mark_all(node->host.bitmaps);
  bool done = node->driver->snapshot_apply(node->instance, id, error);
  int64_t size = bg_node_size_inside(node);
  if (size >= 0)
    bg_bitmaps_resize(node->host.bitmaps, (uint64_t)size);
  return done;
}

static void content_replaced(BgNode *node)
{
  g_auto(BgNews) news = {0};
  bg_graph_lock(node->graph);
  bg_news_content(&news, node);
  bg_state_content_changed(node, &news);
  for (guint i = 0; i < news.content->len; i++) /* the size, too */
    bg_news_state(&news, news.content->pdata[i]);
  bg_graph_unlock(node->graph);
  bg_news_tell(&news);
}

bool bg_node_snapshot_apply(BgNode *node, const char *id, GError **error)
{
  bool done = check_driver(node, error) && call_alone(node, "snapshot to apply", BG_PERM_WRITE | BG_PERM_RESIZE,
                                                      BG_PERM_NONE, apply_marked, id, error);
  if (done)
    content_replaced(node);
  return done;
}

/* Nobody comes to the view any more; false where somebody is there. */
static bool close_view(BgNode *node, const char *id, GError **error)
{
  bg_graph_lock(node->graph);
  BgNode *view = bg_views_find(node, id);
  bool marked = view && bg_mark_take(view), used = view && view->holders->len;
  if (view && !marked)
    bg_set_error(error, EBUSY, "node '%s' is being changed", view->name);
  else if (used)
    bg_set_error(error, EBUSY, "node '%s' is in use by %s", view->name, ((BgHold *)view->holders->pdata[0])->what);
  else if (view)
    view->leaving = true;
  if (marked)
    bg_mark_drop(view);
  bg_graph_unlock(node->graph);
  return !view || (marked && !used);
}

static void open_view(BgNode *node, const char *id)
{
  bg_graph_lock(node->graph);
  BgNode *view = bg_views_find(node, id);
  if (view)
    view->leaving = node->leaving;
  bg_graph_unlock(node->graph);
}

static bool delete (BgNode *node, const char *id, GError **error)
{
  return node->driver->snapshot_delete(node->instance, id, error);
}

bool bg_node_snapshot_delete(BgNode *node, const char *id, GError **error)
{
  if (!check_driver(node, error) || !close_view(node, id, error))
    return false;
  bool done = call_alone(node, "snapshot to delete", BG_PERM_WRITE_UNCHANGED, BG_PERM_ALL, delete, id, error);
  if (done)
    bg_views_sync(node);
  else
    open_view(node, id);
  return done;
}
