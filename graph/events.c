#include "graph/events.h"

static bool is_read_write(BgNode *node)
{
  pthread_mutex_lock(&node->state_lock);
  bool read_write = node->state.read_write;
  pthread_mutex_unlock(&node->state_lock);
  return read_write;
}

void bg_events_driver(BgNode *node, BgEvent event, const char *message)
{
  if (event == BG_EVENT_SNAPSHOTS) {
    g_message("node '%s': %s", node->name, message);
    atomic_store(&node->snapshots_changed, true);
    bg_alarm_ring(&node->graph->alarm);
    return;
  }
  g_warning("node '%s': %s", node->name, message);
  if (event != BG_EVENT_CORRUPT)
    return;
  atomic_store(&node->corrupt, true);
  const BgListener *listener = node->graph->listener;
  if (listener && listener->image_corrupted)
    listener->image_corrupted(node->graph->listener_data, node, message, is_read_write(node));
}

#define TELL(node, what)                                                                                               \
  do {                                                                                                                 \
    const BgListener *listener = (node)->graph->listener;                                                              \
    if (listener && listener->what)                                                                                    \
      listener->what((node)->graph->listener_data, (node));                                                            \
  } while (0)

void bg_events_state(BgNode *node)
{
  TELL(node, state_changed);
}

void bg_events_content(BgNode *node)
{
  atomic_fetch_add(&node->generation, 1);
  TELL(node, content_changed);
}

void bg_events_added(BgNode *node)
{
  TELL(node, node_added);
}

void bg_events_removed(BgNode *node)
{
  TELL(node, node_removed);
}

void bg_events_replaced(BgNode *from, BgNode *to)
{
  const BgListener *listener = from->graph->listener;
  if (listener && listener->node_replaced)
    listener->node_replaced(from->graph->listener_data, from, to);
}

void bg_events_io_error(BgNode *node, bool reading, int error)
{
  const BgListener *listener = node->graph->listener;
  if (listener && listener->io_error)
    listener->io_error(node->graph->listener_data, node, reading, error);
}

void bg_events_job(BgGraph *graph, const struct BgJobEvent *event)
{
  if (graph->listener && graph->listener->job_event)
    graph->listener->job_event(graph->listener_data, event);
}
