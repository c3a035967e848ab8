#include "graph/node.h"

#include "graph/stats.h"

#include <errno.h>
#include <string.h>

BgNode *bg_node_new(BgGraph *graph, char *name, const BgDriver *driver)
{
  BgNode *node = g_new0(BgNode, 1);
  node->graph = graph;
  node->name = name;
  node->driver = driver;
  node->mode.shared = BG_PERM_ALL;
  node->children = g_ptr_array_new();
  node->holders = g_ptr_array_new();
  node->watchers = g_ptr_array_new();
  node->limits = (BgLimits){1, 1, false};
  node->state.write_state = BG_STATE_UNWRITABLE;
  node->state.error = EROFS;
  node->state.reason = g_strdup("not open yet");
  bg_ranges_init(&node->ranges);
  bg_ranges_init(&node->coded);
  bg_gate_init(&node->errands);
  pthread_rwlock_init(&node->life, NULL);
  pthread_mutex_init(&node->state_lock, NULL);
  return node;
}

void bg_edge_free(BgEdge *edge)
{
  if (!edge)
    return;
  g_free((char *)edge->child.name);
  g_free(edge->hold.what);
  g_free(edge);
}

void bg_node_free(BgNode *node)
{
  if (!node)
    return;
  for (guint i = 0; i < node->children->len; i++)
    bg_edge_free(node->children->pdata[i]);
  g_ptr_array_unref(node->children);
  g_ptr_array_unref(node->holders);
  g_ptr_array_unref(node->watchers);
  bg_options_clear(node->driver->options, node->options);
  g_free(node->options);
  g_clear_pointer(&node->snapshot, bg_snapshot_free);
  g_clear_error(&node->storage_error);
  g_free(node->settle_failure);
  bg_node_state_clear(&node->state);
  bg_bitmaps_free(node->host.bitmaps);
  bg_stats_free(node->stats);
  bg_ranges_clear(&node->ranges);
  bg_ranges_clear(&node->coded);
  bg_gate_clear(&node->errands);
  pthread_rwlock_destroy(&node->life);
  pthread_mutex_destroy(&node->state_lock);
  g_free(node->name);
  g_free(node);
}

BgEdge *bg_node_edge(const BgNode *node, const char *name)
{
  for (guint i = 0; i < node->children->len; i++) {
    BgEdge *edge = node->children->pdata[i];
    if (strcmp(edge->child.name, name) == 0)
      return edge;
  }
  return NULL;
}

BgEdge *bg_node_edge_by_role(const BgNode *node, unsigned roles)
{
  for (guint i = 0; i < node->children->len; i++) {
    BgEdge *edge = node->children->pdata[i];
    if (edge->hold.node && (edge->child.role & roles))
      return edge;
  }
  return NULL;
}

void bg_node_prefix_error(const BgNode *node, GError **error)
{
  if (error && *error && !g_str_has_prefix((*error)->message, "node '"))
    g_prefix_error(error, "node '%s': ", node->name);
}

const char *bg_node_name(const BgNode *node)
{
  return node->name;
}

const BgDriver *bg_node_driver(const BgNode *node)
{
  return node->driver;
}

/* ── facts that never wait for a change ── */

/* The instance, kept alive until node_release(); NULL if it is gone. */
static void *node_hold_instance(BgNode *node)
{
  pthread_rwlock_rdlock(&node->life);
  if (!node->instance)
    pthread_rwlock_unlock(&node->life);
  return node->instance;
}

static void node_release(BgNode *node)
{
  pthread_rwlock_unlock(&node->life);
}

static BgNode *primary(const BgNode *node)
{
  const BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_PRIMARY | BG_ROLE_FILTERED);
  return edge ? edge->hold.node : NULL;
}

int64_t bg_node_size_inside(BgNode *node)
{
  if (node->driver->size)
    return node->driver->size(node->instance);
  BgNode *child = primary(node);
  return child ? bg_node_size_inside(child) : -ENOENT;
}

int64_t bg_node_size(BgNode *node)
{
  if (!node_hold_instance(node))
    return -ENOENT;
  int64_t size = bg_node_size_inside(node);
  node_release(node);
  return size;
}

static int64_t children_allocated(BgNode *node)
{
  int64_t sum = 0;
  for (guint i = 0; i < node->children->len; i++) {
    BgEdge *edge = node->children->pdata[i];
    if (!edge->hold.node || (edge->child.role & BG_ROLE_COW))
      continue;
    int64_t part = bg_node_allocated(edge->hold.node);
    if (part < 0)
      return part;
    sum += part;
  }
  return sum;
}

int64_t bg_node_allocated(BgNode *node)
{
  if (!node_hold_instance(node))
    return -ENOENT;
  int64_t bytes = node->driver->allocated ? node->driver->allocated(node->instance) : children_allocated(node);
  node_release(node);
  return bytes;
}

int bg_node_host_stat(BgNode *node, struct stat *st)
{
  if (!node_hold_instance(node))
    return -ENOENT;
  int result = -ENOENT;
  BgNode *child = primary(node);
  if (node->driver->host_stat)
    result = node->driver->host_stat(node->instance, st);
  else if (child)
    result = bg_node_host_stat(child, st);
  node_release(node);
  return result;
}

char *bg_node_filename(BgNode *node)
{
  if (!node_hold_instance(node))
    return NULL;
  char *name = NULL;
  BgNode *child = primary(node);
  if (node->driver->filename)
    name = g_strdup(node->driver->filename(node->instance));
  else if (child)
    name = bg_node_filename(child);
  node_release(node);
  return name;
}

void bg_node_limits(BgNode *node, BgLimits *limits)
{
  *limits = (BgLimits){1, 1, false};
  if (!node_hold_instance(node))
    return;
  BgNode *child = primary(node);
  if (node->driver->limits)
    node->driver->limits(node->instance, limits);
  else if (child && !node->driver->reserve) {
    BgLimits below;
    bg_node_limits(child, &below);
    limits->grows = below.grows;
  }
  node_release(node);
}

void bg_node_recorded_backing(BgNode *node, char **file, char **format)
{
  *file = NULL;
  *format = NULL;
  if (!node_hold_instance(node))
    return;
  if (node->driver->backing)
    node->driver->backing(node->instance, file, format);
  node_release(node);
}

uint64_t bg_node_generation(BgNode *node)
{
  return atomic_load(&node->generation);
}

bool bg_node_has_foreign_writer(BgNode *node)
{
  return atomic_load(&node->foreign_writer);
}

/* ── the published state ── */

const char *bg_write_state_name(BgWriteState state)
{
  static const char *const names[] = {
      [BG_STATE_WRITABLE] = "writable",     [BG_STATE_AVAILABLE] = "available", [BG_STATE_READ_ONLY] = "read-only",
      [BG_STATE_UNWRITABLE] = "unwritable", [BG_STATE_BLOCKED] = "blocked",
  };
  return names[state];
}

void bg_node_state(BgNode *node, BgNodeState *state)
{
  pthread_mutex_lock(&node->state_lock);
  *state = node->state;
  state->reason = g_strdup(node->state.reason);
  pthread_mutex_unlock(&node->state_lock);
}

void bg_node_state_clear(BgNodeState *state)
{
  g_clear_pointer(&state->reason, g_free);
}

bool bg_node_writable(BgNode *node)
{
  pthread_mutex_lock(&node->state_lock);
  bool writable = node->state.error == 0;
  pthread_mutex_unlock(&node->state_lock);
  return writable;
}
