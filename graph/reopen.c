#include "graph/change.h"
#include "graph/node-options.h"

#include <errno.h>
#include <string.h>

/* One node's part of a reopen, collected into the proposal. */
static bool collect_child(BgProposal *proposal, BgNode *node, const BgChildSpec *spec, BgDict *options, GError **error)
{
  if (bg_dict_get(options, spec->name) == NULL) {
    if (!bg_dict_has_tree(options, spec->name))
      return true;
    bg_set_error(error, EINVAL, "node '%s': the child '%s' must be named by its node name", node->name, spec->name);
    return false;
  }
  g_autofree char *name = bg_dict_take(options, spec->name);
  BgEdge *edge = bg_node_edge(node, spec->name);
  BgNode *to = *name ? bg_graph_find(node->graph, name) : NULL;
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

static bool collect_children(BgProposal *proposal, BgNode *node, BgDict *options, GError **error)
{
  for (const BgChildSpec *spec = node->driver->children; spec && spec->name; spec++)
    if (!collect_child(proposal, node, spec, options, error))
      return false;
  return true;
}

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
  if (bg_node_options_parse(options, &override->common, error) &&
      bg_options_parse(node->driver->options, options, override->options, error)) {
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
  g_clear_pointer(&override->given, bg_dict_free);
}

static bool collect(BgProposal *proposal, BgGraph *graph, BgDict *options, GError **error)
{
  g_autofree char *name = bg_dict_take(options, "node-name");
  BgNode *node = name ? bg_graph_find(graph, name) : NULL;
  if (!node) {
    bg_set_error(error, name ? ENOENT : EINVAL, name ? "there is no node '%s'" : "node-name is missing%s",
                 name ? name : "");
    return false;
  }
  if (bg_proposal_override(proposal, node)) {
    bg_set_error(error, EINVAL, "node '%s' is named twice", node->name);
    return false;
  }
  BgOverride override = {.node = node, .given = bg_dict_copy(options)};
  if (!check_driver(node, options, error) || !collect_children(proposal, node, options, error) ||
      !collect_options(&override, options, error)) {
    override_clear(&override);
    return false;
  }
  g_array_append_val(proposal->overrides, override);
  bg_proposal_start(proposal, node);
  return true;
}

bool bg_graph_reopen(BgGraph *graph, BgDict *const *options, size_t count, GError **error)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  proposal.settle = true;
  bool done = true;
  for (size_t i = 0; i < count && done; i++)
    done = collect(&proposal, graph, options[i], error);
  done = done && bg_change_run(graph, &proposal, error);
  for (guint i = 0; !done && i < proposal.overrides->len; i++)
    override_clear(&g_array_index(proposal.overrides, BgOverride, i));
  return done;
}
