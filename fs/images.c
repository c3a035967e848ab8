#include "fs/images.h"

#include "fs/mountpoint.h"

bool bgfs_images_check(BgGraph *graph, const char *mountpoint, GError **error)
{
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  for (guint i = 0; i < nodes->len; i++) {
    BgNode *node = g_ptr_array_index(nodes, i);
    g_autofree char *filename = bg_node_driver(node)->kind == BG_KIND_PROTOCOL ? bg_node_filename(node) : NULL;
    if (filename && !bgfs_mountpoint_check_file(mountpoint, filename, error))
      return false;
  }
  return true;
}
