#include "graph/change.h"
#include "graph/events.h"
#include "graph/monitor.h"
#include "graph/open.h"
#include "graph/state.h"
#include "graph/view.h"

bool bg_open_upgrade(BgBatch *batch, GError **error)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  for (guint i = 0; i < batch->nodes->len; i++) {
    BgNode *node = batch->nodes->pdata[i];
    if (bg_node_options_writable(&node->common))
      bg_proposal_start(&proposal, node);
  }
  return proposal.starts->len == 0 || bg_change_run(batch->graph, &proposal, error);
}

static void set_live(const GPtrArray *nodes, bool live)
{
  for (guint i = 0; nodes && i < nodes->len; i++)
    ((BgNode *)nodes->pdata[i])->live = live;
}

static void tell_gone(const GPtrArray *gone, BgNode *to)
{
  if (!gone)
    return;
  bg_events_replaced(gone->pdata[0], to);
  bg_events_content(to); /* only now is it known whose pages are stale */
  for (guint i = 0; i < gone->len; i++)
    bg_events_removed(gone->pdata[i]);
}

void bg_open_publish(BgBatch *batch, const GPtrArray *gone, BgNode *to)
{
  BgGraph *graph = batch->graph;
  g_auto(BgNews) news = {0};
  bg_graph_lock(graph);
  set_live(gone, false);
  set_live(batch->nodes, true);
  bg_graph_unlock(graph);
  tell_gone(gone, to);
  bg_monitor_probe(graph);
  bg_graph_lock(graph);
  bg_state_resolve(graph, &news);
  bg_graph_unlock(graph);
  for (guint i = 0; i < batch->nodes->len; i++)
    bg_events_added(batch->nodes->pdata[i]);
  bg_news_tell(&news);
  for (guint i = 0; i < batch->nodes->len; i++)
    bg_views_sync(batch->nodes->pdata[i]);
}
