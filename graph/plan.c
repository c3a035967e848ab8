#include "graph/plan.h"

#include "graph/freeze.h"
#include "graph/order.h"
#include "graph/passthrough.h"
#include "graph/perm.h"
#include "graph/view.h"

#include <errno.h>
#include <string.h>

void bg_plan_clear(BgPlan *plan)
{
  g_clear_pointer(&plan->nodes, g_array_unref);
  g_clear_pointer(&plan->holds, g_array_unref);
}

/* ── permissions ── */

typedef struct Planner {
  BgPlan *plan;
  const BgProposal *proposal;
  GHashTable *holds; /* BgHold → index + 1 in plan->holds */
  bool assume_storage;
  BgWriteState refusal;
} Planner;

static void put_hold(Planner *planner, BgHold *hold, BgPerm perm, BgPerm shared)
{
  BgPlanHold entry = {hold, perm, shared};
  g_array_append_val(planner->plan->holds, entry);
  g_hash_table_insert(planner->holds, hold, GUINT_TO_POINTER(planner->plan->holds->len));
}

static BgPlanHold effective_hold(const Planner *planner, BgHold *hold)
{
  guint index = GPOINTER_TO_UINT(g_hash_table_lookup(planner->holds, hold));
  if (index)
    return g_array_index(planner->plan->holds, BgPlanHold, index - 1);
  return (BgPlanHold){hold, hold->perm, hold->shared};
}

static bool refuse(Planner *planner, BgWriteState refusal)
{
  planner->refusal = refusal;
  return false;
}

/* Everybody on a node must be shared with by everybody else. */
static bool check_conflicts(Planner *planner, const BgNode *node, const GPtrArray *holders, GError **error)
{
  for (guint i = 0; i < holders->len; i++) {
    BgPlanHold needs = effective_hold(planner, holders->pdata[i]);
    if (!needs.perm)
      continue;
    for (guint j = 0; j < holders->len; j++) {
      BgPlanHold other = effective_hold(planner, holders->pdata[j]);
      BgPerm missing = needs.perm & ~other.shared;
      bool allied = needs.hold->freeze && needs.hold->freeze == other.hold->freeze;
      if (i == j || !missing || allied)
        continue;
      bg_set_error(error, EBUSY, "node '%s': %s needs '%s', which %s does not share", node->name, needs.hold->what,
                   bg_perm_name(missing), other.hold->what);
      return refuse(planner, BG_STATE_BLOCKED);
    }
  }
  return true;
}

/* A pin keeps new writers off. */
static bool check_pin(Planner *planner, const BgNode *node, BgPerm perm, GError **error)
{
  if (!node->pinned || !(perm & BG_PERM_ANY_WRITE) || (node->mode.perm & BG_PERM_ANY_WRITE))
    return true;
  bg_set_error(error, EROFS, "node '%s' is pinned read-only by chmod", node->name);
  return refuse(planner, BG_STATE_READ_ONLY);
}

/* Whether a node that has to become writable may. */
static bool check_writable(Planner *planner, const BgNode *node, const BgNodeOptions *common, GError **error)
{
  if (node->snapshot) {
    bg_set_error(error, EROFS, BG_NODE_SNAPSHOT_REASON, node->name);
    return refuse(planner, BG_STATE_READ_ONLY);
  }
  bool read_only = common->read_only && !node->lifted;
  if (read_only || common->force_share) {
    bg_set_error(error, EROFS, "node '%s' is read-only by its option %s=on", node->name,
                 read_only ? "read-only" : "force-share");
    return refuse(planner, BG_STATE_READ_ONLY);
  }
  if (atomic_load(&node->corrupt)) {
    bg_set_error(error, EROFS, "node '%s': the image is marked corrupt", node->name);
    return refuse(planner, BG_STATE_UNWRITABLE);
  }
  if (planner->assume_storage && !node->mode.writable && node->storage_error) {
    if (error)
      *error = g_error_copy(node->storage_error);
    return refuse(planner, node->storage_error->code == EBUSY ? BG_STATE_BLOCKED : BG_STATE_UNWRITABLE);
  }
  return true;
}

static void plan_edges(Planner *planner, const BgPlanNode *entry, const BgNodeOptions *common)
{
  const BgNode *node = entry->node;
  g_autoptr(GPtrArray) edges = bg_proposal_children(planner->proposal, node);
  for (guint i = 0; i < edges->len; i++) {
    BgEdge *edge = edges->pdata[i];
    BgPerm perm, shared;
    if (node->driver->child_perm && node->instance)
      node->driver->child_perm(node->instance, &edge->child, entry->mode.writable, entry->mode.perm, entry->mode.shared,
                               &perm, &shared);
    else
      bg_perm_by_role(edge->child.role, entry->mode.writable, entry->mode.perm, entry->mode.shared, &perm, &shared);
    put_hold(planner, &edge->hold, perm, common->force_share ? BG_PERM_ALL : shared);
  }
}

/* A node whose holders change is part of the change, and marked, even if their sum stays the same: else another change could work
 * with the sum of what is no longer, or not yet, true. */
static bool any_hold_changes(const Planner *planner, const GPtrArray *holders)
{
  for (guint i = 0; i < holders->len; i++) {
    const BgHold *hold = holders->pdata[i];
    BgPlanHold now = effective_hold(planner, holders->pdata[i]);
    if (now.perm != hold->perm || now.shared != hold->shared)
      return true;
  }
  return false;
}

static bool mode_equal(const BgMode *a, const BgMode *b)
{
  return a->writable == b->writable && a->direct == b->direct && a->force_share == b->force_share &&
         a->perm == b->perm && a->shared == b->shared;
}

static void sum_holds(const Planner *planner, const GPtrArray *holders, BgMode *mode)
{
  mode->perm = BG_PERM_NONE;
  mode->shared = BG_PERM_ALL;
  for (guint i = 0; i < holders->len; i++) {
    BgPlanHold hold = effective_hold(planner, holders->pdata[i]);
    mode->perm |= hold.perm;
    mode->shared &= hold.shared;
  }
}

static bool plan_node(Planner *planner, BgNode *node, GError **error)
{
  g_autoptr(GPtrArray) holders = bg_proposal_holders(planner->proposal, node);
  const BgOverride *override = bg_proposal_override(planner->proposal, node);
  const BgNodeOptions *common = override ? &override->common : &node->common;
  BgPlanNode entry = {.node = node, .override = override};

  sum_holds(planner, holders, &entry.mode);
  entry.mode.direct = common->direct;
  entry.mode.force_share = common->force_share;
  bool pinned = bg_node_options_writable(common) && node->instance;
  bool wanted = pinned || (entry.mode.perm & BG_PERM_ANY_WRITE);
  bool was_wanted =
      node->mode.writable && ((node->mode.perm & BG_PERM_ANY_WRITE) || bg_node_options_writable(&node->common));
  entry.lingers = !wanted && node->mode.writable && !planner->proposal->settle && !common->read_only;
  entry.mode.writable = wanted || entry.lingers;
  entry.upgrade = entry.mode.writable && !node->mode.writable;
  entry.downgrade = !entry.mode.writable && node->mode.writable;

  if (!check_conflicts(planner, node, holders, error) || !check_pin(planner, node, entry.mode.perm, error))
    return false;
  if (wanted && (!was_wanted || override) && !check_writable(planner, node, common, error))
    return false;
  if (!override && mode_equal(&entry.mode, &node->mode) && !any_hold_changes(planner, holders) &&
      !g_ptr_array_find(planner->proposal->starts, node, NULL))
    return true;
  plan_edges(planner, &entry, common);
  g_array_append_val(planner->plan->nodes, entry);
  return true;
}

static bool check_stays(const BgNode *node, GError **error)
{
  const BgEdge *image = node->snapshot ? bg_node_edge_by_role(node, BG_ROLE_SNAPSHOT) : NULL;
  if (!node->leaving)
    return !image || bg_views_check_open(image->hold.node, error);
  bg_set_error(error, ENOENT, "node '%s' is being removed", node->name);
  return false;
}

/* Only its own job gives a frozen edge another child. */
static bool check_frozen(const BgProposal *proposal, GError **error)
{
  for (guint i = 0; i < proposal->retargets->len; i++) {
    const BgEdge *edge = g_array_index(proposal->retargets, BgRetarget, i).edge;
    if (!edge->hold.freeze || edge->hold.freeze == proposal->by)
      continue;
    bg_set_error(error, EBUSY, "node '%s': its child '%s' is frozen by %s", edge->parent->name, edge->child.name,
                 edge->hold.freeze->what);
    return false;
  }
  return true;
}

/* Nobody comes to a node that is being removed, or to a snapshot whose content is about to change. */
static bool check_arrivals(const BgProposal *proposal, GError **error)
{
  for (guint i = 0; i < proposal->holds->len; i++) {
    BgHold *hold = g_array_index(proposal->holds, BgPlanHold, i).hold;
    if (!g_ptr_array_find(hold->node->holders, hold, NULL) && !check_stays(hold->node, error))
      return false;
  }
  for (guint i = 0; i < proposal->retargets->len; i++) {
    const BgNode *to = g_array_index(proposal->retargets, BgRetarget, i).to;
    if (to && !check_stays(to, error))
      return false;
  }
  for (guint i = 0; i < proposal->moves->len; i++)
    if (!check_stays(g_array_index(proposal->moves, BgMove, i).to, error))
      return false;
  return true;
}

/* What requests see that nobody but the kernel sees stays as it is. */
static bool check_passthrough(const BgProposal *proposal, GError **error)
{
  for (guint i = 0; i < proposal->overrides->len; i++)
    if (!bg_passthrough_check(g_array_index(proposal->overrides, BgOverride, i).node, error))
      return false;
  for (guint i = 0; i < proposal->retargets->len; i++)
    if (!bg_passthrough_check(g_array_index(proposal->retargets, BgRetarget, i).edge->parent, error))
      return false;
  for (guint i = 0; i < proposal->drained->len; i++)
    if (!bg_passthrough_check(proposal->drained->pdata[i], error))
      return false;
  return true;
}

static bool plan_all(Planner *planner, const GPtrArray *reverse, GError **error)
{
  const GArray *holds = planner->proposal->holds;
  for (guint i = 0; i < holds->len; i++) {
    const BgPlanHold *hold = &g_array_index(holds, BgPlanHold, i);
    put_hold(planner, hold->hold, hold->perm, hold->shared);
  }
  for (guint i = reverse->len; i-- > 0;)
    if (!plan_node(planner, reverse->pdata[i], error))
      return false;
  return true;
}

bool bg_plan_make(BgPlan *plan, const BgProposal *proposal, bool assume_storage, BgWriteState *refusal, GError **error)
{
  if (refusal)
    *refusal = BG_STATE_BLOCKED;
  bool possible =
      check_frozen(proposal, error) && check_arrivals(proposal, error) && check_passthrough(proposal, error);
  g_autoptr(GPtrArray) reverse = possible ? bg_order_below(proposal, error) : NULL;
  if (!reverse)
    return false;
  g_autoptr(GHashTable) index = g_hash_table_new(NULL, NULL);
  *plan =
      (BgPlan){proposal, g_array_new(FALSE, TRUE, sizeof(BgPlanNode)), g_array_new(FALSE, FALSE, sizeof(BgPlanHold))};
  Planner planner = {plan, proposal, index, assume_storage, BG_STATE_BLOCKED};
  if (plan_all(&planner, reverse, error))
    return true;
  if (refusal)
    *refusal = planner.refusal;
  bg_plan_clear(plan);
  return false;
}
