#include "graph/backing.h"

#include "graph/change.h"
#include "graph/freeze.h"

#include <errno.h>

bool bg_backing_write(void *record, GError **error)
{
  const BgBackingRecord *what = record;
  if (what->node->driver->change_backing(what->node->instance, what->file, what->format, error))
    return true;
  bg_node_prefix_error(what->node, error);
  return false;
}

/* Under graph->control. */
static bool check_link(const BgNode *node, GError **error)
{
  const BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_COW);
  if (!edge || !edge->hold.freeze)
    return true;
  bg_set_error(error, EBUSY, "node '%s': its child '%s' is frozen by %s", node->name, edge->child.name,
               edge->hold.freeze->what);
  return false;
}

static bool run_record(BgBackingRecord *record, GError **error)
{
  BgGraph *graph = record->node->graph;
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  proposal.last = bg_backing_write;
  proposal.data = record;
  bg_graph_lock(graph);
  bool free = check_link(record->node, error);
  bg_proposal_start(&proposal, record->node);
  bg_graph_unlock(graph);
  return free && bg_change_run(graph, &proposal, error);
}

bool bg_node_record_backing(BgNode *node, const char *file, const char *format, GError **error)
{
  if (!node->driver->change_backing) {
    bg_set_error(error, ENOTSUP, "node '%s': the driver %s cannot record a backing file", node->name,
                 node->driver->name);
    return false;
  }
  BgFreeze freeze;
  BgBackingRecord record = {node, file, format};
  bg_freeze_init(&freeze, node->graph, "change of the backing file");
  bg_freeze_lift_read_only(&freeze, node);
  BgUser *user = bg_freeze_user_new(&freeze, node, BG_PERM_WRITE_UNCHANGED, BG_PERM_ALL, error);
  bool done = user && run_record(&record, error);
  bg_freeze_let_read_only(&freeze);
  bg_user_free(user);
  bg_freeze_clear(&freeze);
  return done;
}
