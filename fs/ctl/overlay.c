#include "fs/ctl/overlay.h"

#include "drivers/error.h"
#include "fs/ctl/node-options.h"
#include "fs/ctl/nodes.h"
#include "fs/image.h"
#include "fs/path.h"
#include "graph/create.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool make_image(const BgfsCtlNodes *nodes, const char *node, const char *file, GError **error)
{
  JsonObject *below = bgfs_ctl_nodes_find(nodes, node, error);
  if (!below)
    return false;
  const char *backing = bgfs_ctl_text(below, "filename"), *format = bgfs_ctl_text(below, "driver");
  int64_t size = bgfs_ctl_number(below, "size", -1);
  if (backing && format && size >= 0)
    return bg_create_image("qcow2", file, (uint64_t)size, NULL, backing, format, NULL, error);
  bg_set_error(error, ENOTSUP, "it is no image that an overlay could name");
  return false;
}

/* "disk2" of "/srv/disk2.qcow2" */
static char *name_after(const char *file)
{
  char *name = g_path_get_basename(file);
  char *dot = strrchr(name, '.');
  if (dot && dot > name)
    *dot = '\0';
  return name;
}

static bool add_node(BgfsCtl *ctl, const char *file, const char *name, GError **error)
{
  g_autoptr(BgDict) options = bgfs_image_dict(name, file, "qcow2");
  bg_dict_set(options, "backing", "");
  return bgfs_ctl_client_do(ctl->client, "blockdev-add", bgfs_ctl_options_json(options), error);
}

static bool put_on(BgfsCtl *ctl, const char *node, const char *name, GError **error)
{
  if (bgfs_ctl_client_do(ctl->client, "blockdev-snapshot", bgfs_ctl_arguments("node", node, "overlay", name, NULL),
                         error))
    return true;
  g_autoptr(GError) left = NULL;
  if (!bgfs_ctl_client_do(ctl->client, "blockdev-del", bgfs_ctl_arguments("node-name", name, NULL), &left))
    g_prefix_error(error, "(the node '%s' is left: %s) ", name, left->message);
  return false;
}

bool bgfs_ctl_overlay(BgfsCtl *ctl, const char *node, const char *file, const char *name, GError **error)
{
  g_autofree char *absolute = bgfs_absolute_path(file), *chosen = name ? g_strdup(name) : name_after(file);
  g_autoptr(BgfsCtlNodes) nodes = bgfs_ctl_nodes_query(ctl, error);
  if (!nodes || !make_image(nodes, node, absolute, error))
    return false;
  if (add_node(ctl, absolute, chosen, error) && put_on(ctl, node, chosen, error))
    return true;
  unlink(absolute);
  return false;
}
