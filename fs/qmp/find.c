#include "fs/qmp/find.h"

#include "fs/qmp/error.h"
#include "graph/escape.h"

BgNode *bgfs_qmp_find_node(const BgfsQmpMount *mount, const char *name, GError **error)
{
  BgNode *node = bg_graph_find(mount->graph, name);
  if (node)
    return node;
  g_autofree char *shown = bg_escape(name);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Failed to find node with node-name='%s'", shown);
  return NULL;
}

static BgNode *find(const BgfsQmpMount *mount, const char *device, const char *node_name, GError **error)
{
  BgNode *node = bg_graph_find(mount->graph, *node_name ? node_name : device);
  if (node)
    return node;
  g_autofree char *one = bg_escape(device), *other = bg_escape(node_name);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Cannot find device='%s' nor node-name='%s'", one, other);
  return NULL;
}

BgNode *bgfs_qmp_find_device(const BgfsQmpMount *mount, const char *name, GError **error)
{
  return find(mount, name, name, error);
}

BgNode *bgfs_qmp_find_either(const BgfsQmpMount *mount, JsonObject *arguments, const char *device,
                             const char *node_name, GError **error)
{
  return find(mount, json_object_get_string_member_with_default(arguments, device, ""),
              json_object_get_string_member_with_default(arguments, node_name, ""), error);
}
