#include "fs/images.h"

#include "fs/mountpoint.h"

bool bgfs_images_check_node(BgNode *node, const char *mountpoint, GError **error)
{
  g_autofree char *filename = bg_node_driver(node)->kind == BG_KIND_PROTOCOL ? bg_node_filename(node) : NULL;
  return !filename || bgfs_mountpoint_check_file(mountpoint, filename, error);
}

bool bgfs_images_check(BgGraph *graph, const char *mountpoint, GError **error)
{
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  for (guint i = 0; i < nodes->len; i++)
    if (!bgfs_images_check_node(nodes->pdata[i], mountpoint, error))
      return false;
  return true;
}
