#include "graph/host.h"

#include "graph/events.h"
#include "graph/open.h"
#include "graph/secret.h"

static bool host_has_child(BgHost *host, const char *name)
{
  BgNode *node = bg_node_of(host);
  BgEdge *edge = bg_node_edge(node, name);
  return edge && edge->hold.node;
}

static void host_event(BgHost *host, BgEvent event, const char *message)
{
  bg_events_driver(bg_node_of(host), event, message);
}

static uint64_t host_epoch(BgHost *host)
{
  return bg_epoch_now(bg_node_of(host)->graph->epoch);
}

static bool host_epoch_passed(BgHost *host, uint64_t epoch)
{
  return bg_epoch_passed(bg_node_of(host)->graph->epoch, epoch);
}

static bool host_need_secret(BgHost *host, const char *id, const BgSecret **secret, GError **error)
{
  const BgPolicy *policy = &bg_node_of(host)->graph->policy;
  *secret = NULL;
  return policy->without_keys || bg_secrets_choose(policy->secrets, id, secret, error);
}

void bg_host_init(BgNode *node)
{
  node->host = (BgHost){.node_name = node->name,
                        .need_child = bg_open_child,
                        .has_child = host_has_child,
                        .event = host_event,
                        .need_secret = host_need_secret,
                        .epoch = host_epoch,
                        .epoch_passed = host_epoch_passed,
                        .bitmaps = bg_bitmaps_new()};
}
