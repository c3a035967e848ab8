#include "graph/monitor.h"

#include "graph/change.h"
#include "graph/errand.h"
#include "graph/io.h"
#include "graph/state.h"
#include "graph/view.h"

#include <string.h>

#define PROBE_INTERVAL (1 * G_USEC_PER_SEC)
#define FLUSH_INTERVAL (5 * G_USEC_PER_SEC)

struct BgMonitor {
  BgGraph *graph;
  pthread_t thread;
};

/* ── the storage, as it is now ── */

static bool same_error(const GError *a, const GError *b)
{
  if (!a || !b)
    return a == b;
  return a->code == b->code && strcmp(a->message, b->message) == 0;
}

/* The mode that a writer would ask for. */
static BgMode writer_mode(const BgNode *node)
{
  return (BgMode){.writable = true,
                  .direct = node->common.direct,
                  .force_share = node->common.force_share,
                  .perm = node->mode.perm | BG_PERM_CONSISTENT_READ | BG_PERM_WRITE | BG_PERM_RESIZE,
                  .shared = node->mode.shared & BG_USER_WRITE_SHARED};
}

/* True if what the driver says changed. Under graph->control, which is given up meanwhile; the node is marked. */
static bool probe_driver(BgNode *node)
{
  if (!node->driver->can_change || node->mode.writable)
    return false;
  BgMode mode = writer_mode(node);
  GError *error = NULL;
  bg_graph_unlock(node->graph);
  if (!node->driver->can_change(node->instance, &mode, &error))
    g_prefix_error(&error, "node '%s': ", node->name);
  bg_graph_lock(node->graph);
  if (same_error(error, node->storage_error)) {
    g_clear_error(&error);
    return false;
  }
  g_clear_error(&node->storage_error);
  node->storage_error = error;
  return true;
}

static bool same_content(const struct stat *a, const struct stat *b)
{
  return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool same_owner(const struct stat *a, const struct stat *b)
{
  return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_size == b->st_size;
}

/* What others did to the host file. Under graph->control, which is given up meanwhile; the node is marked. */
static void probe_host_file(BgNode *node, BgNews *news)
{
  struct stat now;
  bool ours = node->mode.writable;
  if (!node->driver->host_stat)
    return;
  bg_graph_unlock(node->graph);
  int result = node->driver->host_stat(node->instance, &now);
  bg_graph_lock(node->graph);
  if (result)
    return;
  bool known = node->seen.st_mode != 0;
  if (known && !same_owner(&now, &node->seen)) {
    g_autoptr(GPtrArray) sharers = bg_state_sharers(node);
    bg_news_state(news, node);
    for (guint i = 0; i < sharers->len; i++)
      bg_news_state(news, sharers->pdata[i]);
  }
  if (node->seen_valid && !ours && !same_content(&now, &node->seen)) {
    bg_news_content(news, node);
    bg_state_content_changed(node, news);
  }
  node->seen = now;
  node->seen_valid = !ours;
}

static bool probe_node(BgNode *node, BgNews *news)
{
  bg_graph_lock(node->graph);
  bool changed = false;
  if (node->live && !node->changing && node->instance) {
    node->changing = true;
    changed = probe_driver(node);
    probe_host_file(node, news);
    bg_mark_drop(node);
  }
  bg_graph_unlock(node->graph);
  return changed;
}

static bool probe_all(BgGraph *graph, BgNews *news)
{
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  bool changed = false;
  for (guint i = 0; i < nodes->len; i++)
    changed |= probe_node(nodes->pdata[i], news);
  return changed;
}

void bg_monitor_probe(BgGraph *graph)
{
  g_auto(BgNews) news = {0};
  probe_all(graph, &news);
  bg_news_tell(&news);
}

static bool corruption_unpublished(BgGraph *graph)
{
  bool found = false;
  bg_graph_lock(graph);
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    found = found || (atomic_load(&node->corrupt) && node->state.error == 0 && !node->mode.writable);
  }
  bg_graph_unlock(graph);
  return found;
}

static void look_at_storage(BgGraph *graph)
{
  g_auto(BgNews) news = {0};
  bool changed = probe_all(graph, &news);
  if (changed || corruption_unpublished(graph)) {
    bg_graph_lock(graph);
    bg_state_resolve(graph, &news);
    bg_graph_unlock(graph);
  }
  bg_news_tell(&news);
}

static void look_at_snapshots(BgGraph *graph)
{
  g_autoptr(GPtrArray) changed = g_ptr_array_new();
  bg_graph_lock(graph);
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    if (atomic_load(&node->snapshots_changed))
      g_ptr_array_add(changed, node);
  }
  bg_graph_unlock(graph);
  for (guint i = 0; i < changed->len; i++)
    bg_views_sync(changed->pdata[i]);
}

/* ── writing out ── */

static GPtrArray *writable_nodes(BgGraph *graph)
{
  GPtrArray *nodes = g_ptr_array_new();
  bg_graph_lock(graph);
  for (guint i = 0; i < graph->nodes->len; i++) {
    BgNode *node = graph->nodes->pdata[i];
    if (node->live && node->mode.writable)
      g_ptr_array_add(nodes, node);
  }
  bg_graph_unlock(graph);
  return nodes;
}

static void write_out_node(BgNode *node)
{
  int result = bg_io_flush(node);
  if (result)
    g_warning("node '%s': cannot write out: %s", node->name, g_strerror(-result));
}

static bool is_writable(BgNode *node)
{
  bg_graph_lock(node->graph);
  bool writable = node->live && node->instance && node->mode.writable;
  bg_graph_unlock(node->graph);
  return writable;
}

static void write_out_errand(BgNode *node)
{
  bg_gate_enter(&node->errands);
  if (is_writable(node))
    write_out_node(node);
  bg_gate_leave(&node->errands);
}

static void write_out(BgGraph *graph)
{
  bg_gate_enter(&graph->background);
  g_autoptr(GPtrArray) nodes = writable_nodes(graph);
  for (guint i = 0; i < nodes->len; i++) {
    BgNode *node = nodes->pdata[i];
    if (bg_node_may_wait(node))
      bg_errand_run(node, BG_ERRAND_FLUSH, write_out_errand);
    else
      write_out_node(node);
  }
  bg_gate_leave(&graph->background);
}

/* ── the thread ── */

static void *monitor_run(void *data)
{
  BgGraph *graph = ((BgMonitor *)data)->graph;
  int64_t probe_at = g_get_monotonic_time() + PROBE_INTERVAL;
  int64_t flush_at = g_get_monotonic_time() + FLUSH_INTERVAL;
  int64_t settle_at = INT64_MAX;
  bool rung;
  while (bg_alarm_wait(&graph->alarm, MIN(MIN(probe_at, flush_at), settle_at), &rung)) {
    settle_at = bg_change_settle_due(graph);
    if (rung || g_get_monotonic_time() >= probe_at) {
      look_at_storage(graph);
      look_at_snapshots(graph);
      probe_at = g_get_monotonic_time() + PROBE_INTERVAL;
    }
    if (g_get_monotonic_time() >= flush_at) {
      write_out(graph);
      flush_at = g_get_monotonic_time() + FLUSH_INTERVAL;
    }
  }
  return NULL;
}

BgMonitor *bg_monitor_start(BgGraph *graph)
{
  BgMonitor *monitor = g_new0(BgMonitor, 1);
  monitor->graph = graph;
  if (pthread_create(&monitor->thread, NULL, monitor_run, monitor) != 0)
    g_error("cannot start a thread");
  return monitor;
}

void bg_monitor_stop(BgMonitor *monitor)
{
  bg_alarm_stop(&monitor->graph->alarm);
  pthread_join(monitor->thread, NULL);
  bg_errands_finish(monitor->graph);
  g_free(monitor);
}
