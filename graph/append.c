#include "graph/append.h"

#include "graph/step.h"

#include <errno.h>

/* ── under graph->control ── */

/* Somebody to whom it matters what the disk shows; NULL: nobody. */
static const BgHold *find_user(const BgNode *node)
{
  for (guint i = 0; i < node->holders->len; i++) {
    const BgHold *hold = node->holders->pdata[i];
    if (!hold->is_user || hold->perm & ~BG_PERM_WRITE_UNCHANGED)
      return hold;
  }
  return NULL;
}

static bool check(const BgAppend *append, const BgEdge *edge, GError **error)
{
  const BgNode *node = append->node, *overlay = append->overlay;
  const BgHold *user = find_user(overlay);
  if (!edge || !(edge->child.role & BG_ROLE_COW))
    bg_set_error(error, EINVAL, "The overlay does not support backing images");
  else if (edge->hold.node)
    bg_set_error(error, EINVAL, "The overlay already has a backing image");
  else if (user)
    bg_set_error(error, EBUSY, "The overlay is already in use: node '%s' is in use by %s", overlay->name, user->what);
  else if (node == overlay)
    bg_set_error(error, EINVAL, "Making '%s' a backing child of '%s' would create a cycle", node->name, node->name);
  else
    return true;
  return false;
}

/* Parents move; snapshots of the node's own image stay with it. */
static bool propose(BgProposal *proposal, const BgAppend *append, GError **error)
{
  BgEdge *backing = bg_node_edge(append->overlay, "backing");
  if (!check(append, backing, error))
    return false;
  for (guint i = 0; i < append->node->holders->len; i++) {
    BgEdge *edge = bg_hold_edge(append->node->holders->pdata[i]);
    if (edge && !(edge->child.role & BG_ROLE_SNAPSHOT))
      bg_proposal_retarget(proposal, edge, append->overlay);
  }
  bg_proposal_retarget(proposal, backing, append->node);
  return true;
}

typedef struct AppendStep {
  BgStep step;
  BgAppend append;
} AppendStep;

static bool step_propose(BgStep *step, BgProposal *proposal, GError **error)
{
  return propose(proposal, &((AppendStep *)step)->append, error);
}

static void step_end(BgStep *step, bool done)
{
  (void)done;
  g_free(step);
}

BgStep *bg_append_step_new(const BgAppend *append)
{
  static const BgStepKind kind = {.propose = step_propose, .end = step_end};
  AppendStep *step = g_new0(AppendStep, 1);
  *step = (AppendStep){{&kind}, *append};
  return &step->step;
}
