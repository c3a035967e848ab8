#include "graph/change.h"
#include "graph/node-options.h"

#include <errno.h>
#include <string.h>

static bool collect(BgProposal *proposal, BgNode *node, BgDict *options, GError **error);

/* ── children ── */

/* Another child, or none, or the same. */
static bool collect_named(BgProposal *proposal, BgNode *node, const BgChildSpec *spec, const char *name, GError **error)
{
  BgEdge *edge = bg_node_edge(node, spec->name);
  BgNode *to = *name ? bg_graph_look_up(node->graph, name) : NULL;
  if (*name && !to) {
    bg_set_error(error, ENOENT, "there is no node '%s'", name);
    return false;
  }
  if (!edge || (!to && spec->required)) {
    bg_set_error(error, EINVAL, "node '%s': the child '%s' cannot be %s", node->name, spec->name,
                 to ? "attached" : "taken away");
    return false;
  }
  if (edge->hold.node != to)
    bg_proposal_retarget(proposal, edge, to);
  return true;
}

static bool check_name(const BgNode *child, BgDict *options, GError **error)
{
  g_autofree char *name = bg_dict_take(options, "node-name");
  if (!name || strcmp(name, child->name) == 0)
    return true;
  bg_set_error(error, EINVAL, "node '%s': Cannot change the option 'node-name'", child->name);
  return false;
}

/* The child stays, with other options. */
static bool collect_inline(BgProposal *proposal, const BgOverride *parent, const BgChildSpec *spec, BgDict *options,
                           GError **error)
{
  BgEdge *edge = bg_node_edge(parent->node, spec->name);
  BgNode *child = edge ? edge->hold.node : NULL;
  if (!child) {
    bg_set_error(error, EINVAL, "node '%s': there is no child '%s' to reopen; one is attached by its node name",
                 parent->node->name, spec->name);
    return false;
  }
  if (!check_name(child, options, error))
    return false;
  if (child->implicit)
    bg_node_options_inherit(&parent->common, parent->node->driver->kind, edge->child.role, options);
  return collect(proposal, child, options, error);
}

/* Children that are left out stay as they are. */
static bool collect_child(BgProposal *proposal, const BgOverride *parent, const BgChildSpec *spec, BgDict *options,
                          GError **error)
{
  g_autofree char *name = bg_dict_take(options, spec->name);
  if (name)
    return collect_named(proposal, parent->node, spec, name, error);
  if (!bg_dict_has_tree(options, spec->name))
    return true;
  g_autoptr(BgDict) inner = bg_dict_take_tree(options, spec->name);
  return collect_inline(proposal, parent, spec, inner, error);
}

static bool collect_children(BgProposal *proposal, const BgOverride *parent, BgDict *options, GError **error)
{
  for (const BgChildSpec *spec = parent->node->driver->children; spec && spec->name; spec++)
    if (!collect_child(proposal, parent, spec, options, error))
      return false;
  return true;
}

/* ── one node, and what is written inside it ── */

static bool check_driver(const BgNode *node, BgDict *options, GError **error)
{
  g_autofree char *driver = bg_dict_take(options, "driver");
  if (!driver || strcmp(driver, node->driver->name) == 0)
    return true;
  bg_set_error(error, EINVAL, "node '%s': Cannot change the option 'driver'", node->name);
  return false;
}

static bool collect_options(BgOverride *override, BgDict *options, GError **error)
{
  BgNode *node = override->node;
  override->options = g_malloc0(MAX(node->driver->options_size, 1));
  if (bg_options_parse(node->driver->options, options, override->options, error)) {
    const char *key = bg_dict_first_key(options);
    if (!key && bg_options_check_change(node->driver->options, node->options, override->options, error))
      return true;
    if (key)
      bg_set_error(error, EINVAL, "driver '%s' has no option '%s'", node->driver->name, key);
  }
  bg_node_prefix_error(node, error);
  return false;
}

static void override_clear(BgOverride *override)
{
  if (override->options)
    bg_options_clear(override->node->driver->options, override->options);
  g_clear_pointer(&override->options, g_free);
}

static bool collect_common(BgOverride *override, BgDict *options, GError **error)
{
  bool good = bg_node_options_parse(options, &override->common, error);
  if (!good)
    bg_node_prefix_error(override->node, error);
  return good;
}

static bool collect(BgProposal *proposal, BgNode *node, BgDict *options, GError **error)
{
  BgOverride override = {.node = node};
  if (!check_driver(node, options, error) || !collect_common(&override, options, error) ||
      !collect_children(proposal, &override, options, error) || !collect_options(&override, options, error)) {
    override_clear(&override);
    return false;
  }
  if (bg_proposal_override(proposal, node)) {
    bg_set_error(error, EINVAL, "node '%s' is named twice", node->name);
    override_clear(&override);
    return false;
  }
  g_array_append_val(proposal->overrides, override);
  bg_proposal_start(proposal, node);
  return true;
}

static bool collect_top(BgProposal *proposal, BgGraph *graph, BgDict *options, GError **error)
{
  g_autofree char *name = bg_dict_take(options, "node-name");
  BgNode *node = name ? bg_graph_look_up(graph, name) : NULL;
  if (node)
    return collect(proposal, node, options, error);
  bg_set_error(error, name ? ENOENT : EINVAL, name ? "there is no node '%s'" : "node-name is missing%s",
               name ? name : "");
  return false;
}

static bool collect_all(BgProposal *proposal, BgGraph *graph, BgDict *const *options, size_t count, GError **error)
{
  bool good = true;
  bg_graph_lock(graph);
  for (size_t i = 0; i < count && good; i++)
    good = collect_top(proposal, graph, options[i], error);
  bg_graph_unlock(graph);
  return good;
}

bool bg_graph_reopen(BgGraph *graph, BgDict *const *options, size_t count, GError **error)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  proposal.settle = true;
  bool done = collect_all(&proposal, graph, options, count, error) && bg_change_run(graph, &proposal, error);
  for (guint i = 0; !done && i < proposal.overrides->len; i++)
    override_clear(&g_array_index(proposal.overrides, BgOverride, i));
  return done;
}
