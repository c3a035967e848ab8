#include "fs/ctl/nodes.h"

#include "drivers/error.h"
#include "fs/ctl/socket.h"
#include "graph/json.h"

#include <errno.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

BgfsCtlNodes *bgfs_ctl_nodes_new(JsonNode *root, GError **error)
{
  g_autoptr(BgfsCtlNodes) nodes = g_new0(BgfsCtlNodes, 1);
  nodes->root = root;
  nodes->list = JSON_NODE_HOLDS_OBJECT(root) ? bgfs_ctl_array(json_node_get_object(root), "nodes") : NULL;
  nodes->by_name = g_hash_table_new(g_str_hash, g_str_equal);
  bool well_formed = nodes->list;
  for (unsigned i = 0; i < bgfs_ctl_length(nodes->list); i++) {
    JsonObject *node = bgfs_ctl_element(nodes->list, i);
    const char *name = bgfs_ctl_text(node, "node-name");
    well_formed &= name && g_hash_table_insert(nodes->by_name, (gpointer)name, node);
  }
  if (well_formed)
    return g_steal_pointer(&nodes);
  bg_set_error(error, EPROTO, "the daemon's description of the graph makes no sense");
  return NULL;
}

void bgfs_ctl_nodes_free(BgfsCtlNodes *nodes)
{
  if (!nodes)
    return;
  g_hash_table_unref(nodes->by_name);
  json_node_unref(nodes->root);
  g_free(nodes);
}

BgfsCtlNodes *bgfs_ctl_nodes_query(BgfsCtl *ctl, GError **error)
{
  JsonNode *root = bgfs_ctl_client_call(ctl->client, "query-blockgraph", NULL, error);
  return root ? bgfs_ctl_nodes_new(root, error) : NULL;
}

BgfsCtlNodes *bgfs_ctl_nodes_read(const char *mountpoint, GError **error)
{
  g_autofree char *text = bgfs_ctl_graph_file(mountpoint, "nodes.json", BGFS_CTL_MAX_ANSWER, error);
  JsonNode *root = text ? bg_json_parse(text, MAX_DEPTH, error) : NULL;
  return root ? bgfs_ctl_nodes_new(root, error) : NULL;
}

JsonObject *bgfs_ctl_nodes_find(const BgfsCtlNodes *nodes, const char *name, GError **error)
{
  JsonObject *node = g_hash_table_lookup(nodes->by_name, name);
  if (!node)
    bg_set_error(error, ENOENT, "there is no such node");
  return node;
}

const char *bgfs_ctl_nodes_child(JsonObject *node, const char *edge)
{
  JsonArray *children = bgfs_ctl_array(node, "children");
  for (unsigned i = 0; i < bgfs_ctl_length(children); i++) {
    JsonObject *child = bgfs_ctl_element(children, i);
    if (g_strcmp0(bgfs_ctl_text(child, "name"), edge) == 0)
      return bgfs_ctl_text(child, "node-name");
  }
  return NULL;
}

/* ── upwards ── */

static bool has_role(JsonObject *child, const char *wanted)
{
  JsonArray *roles = bgfs_ctl_array(child, "roles");
  for (unsigned i = 0; i < bgfs_ctl_length(roles); i++)
    if (g_strcmp0(json_array_get_string_element(roles, i), wanted) == 0)
      return true;
  return false;
}

/* Whether what `name` shows is what `node` shows where it has nothing of its own. */
static bool stands_on(JsonObject *node, const char *name)
{
  JsonArray *children = bgfs_ctl_array(node, "children");
  for (unsigned i = 0; i < bgfs_ctl_length(children); i++) {
    JsonObject *child = bgfs_ctl_element(children, i);
    bool part_of_chain = has_role(child, "cow") || has_role(child, "filtered");
    if (part_of_chain && !has_role(child, "snapshot") && g_strcmp0(bgfs_ctl_text(child, "node-name"), name) == 0)
      return true;
  }
  return false;
}

static const char *parent_in_chain(const BgfsCtlNodes *nodes, const char *name)
{
  const char *parent = NULL;
  for (unsigned i = 0; i < bgfs_ctl_length(nodes->list); i++) {
    JsonObject *node = bgfs_ctl_element(nodes->list, i);
    if (!stands_on(node, name))
      continue;
    if (parent)
      return NULL;
    parent = bgfs_ctl_text(node, "node-name");
  }
  return parent;
}

const char *bgfs_ctl_nodes_top(const BgfsCtlNodes *nodes, const char *name)
{
  const char *parent;
  unsigned left = bgfs_ctl_length(nodes->list); /* a graph has no cycles, what a server sends may have */
  while (left-- > 0 && (parent = parent_in_chain(nodes, name)))
    name = parent;
  return name;
}
