#include "drivers/error.h"
#include "fs/ctl/node-options.h"
#include "fs/ctl/nodes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl reopen",
    .operands = "MOUNTPOINT NODE …",
    .least = 1,
    .most = UINT_MAX,
    .summary =
        "Gives nodes other options or children, all in one step: either all are changed or none. NODE is written as "
        "for "
        "blockgraphfs --blockdev and has to have a node-name. Options that are not named stay as they are, and so do "
        "children.",
    .description = "Example:\n"
                   "  blockgraphctl reopen mnt node-name=disk,read-only=on\n",
};

typedef struct Reopen {
  BgfsCtl ctl;
  gboolean defaults; /* what is not named goes back to its default, as QEMU has it */
  GPtrArray *nodes;  /* BgDict * */
} Reopen;

static void reopen_clear(Reopen *reopen)
{
  bgfs_ctl_clear(&reopen->ctl);
  g_ptr_array_unref(reopen->nodes);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Reopen, reopen_clear)

static bool parse_nodes(Reopen *reopen, GError **error)
{
  for (unsigned i = 0; i < reopen->ctl.operands->len; i++) {
    BgDict *options = bgfs_ctl_options_parse(bgfs_ctl_operand(&reopen->ctl, i), error);
    if (!options)
      return false;
    g_ptr_array_add(reopen->nodes, options);
    if (!bg_dict_get(options, "node-name")) {
      bg_set_error(error, EINVAL, "node-name is missing");
      return false;
    }
  }
  return true;
}

static bool parse(Reopen *reopen, int argc, char **argv, int *status)
{
  const GOptionEntry entries[] = {
      {"defaults", 0, 0, G_OPTION_ARG_NONE, &reopen->defaults, "Options that are not named go back to their defaults",
       NULL},
      {NULL},
  };
  if (!bgfs_ctl_parse(&reopen->ctl, &command, entries, argc, argv, status))
    return false;
  g_autoptr(GError) error = NULL;
  if (parse_nodes(reopen, &error))
    return true;
  *status = bgfs_ctl_usage(&reopen->ctl, error->message);
  return false;
}

/* The driver and, unless they go back to their defaults, the options that the node has. */
static bool complete(const Reopen *reopen, const BgfsCtlNodes *nodes, BgDict *options, GError **error)
{
  const char *name = bg_dict_get(options, "node-name");
  JsonObject *node = bgfs_ctl_nodes_find(nodes, name, error);
  if (!node) {
    g_prefix_error(error, "%s: ", name);
    return false;
  }
  const char *driver = bgfs_ctl_text(node, "driver");
  if (driver)
    bg_dict_set_default(options, "driver", driver);
  JsonObject *present = bgfs_ctl_object(node, "options");
  if (present && !reopen->defaults)
    bgfs_ctl_options_keep(options, present);
  return true;
}

static bool reopen_nodes(Reopen *reopen, GError **error)
{
  if (!bgfs_ctl_connect(&reopen->ctl, error))
    return false;
  g_autoptr(BgfsCtlNodes) nodes = bgfs_ctl_nodes_query(&reopen->ctl, error);
  if (!nodes)
    return false;
  g_autoptr(JsonArray) list = json_array_new();
  for (guint i = 0; i < reopen->nodes->len; i++) {
    if (!complete(reopen, nodes, reopen->nodes->pdata[i], error))
      return false;
    json_array_add_object_element(list, bgfs_ctl_options_json(reopen->nodes->pdata[i]));
  }
  JsonObject *arguments = json_object_new();
  json_object_set_array_member(arguments, "options", g_steal_pointer(&list));
  return bgfs_ctl_client_do(reopen->ctl.client, "blockdev-reopen", arguments, error);
}

int bgfs_ctl_reopen(int argc, char **argv)
{
  g_auto(Reopen) reopen = {.nodes = g_ptr_array_new_with_free_func((GDestroyNotify)bg_dict_free)};
  GError *error = NULL;
  int status;
  if (!parse(&reopen, argc, argv, &status))
    return status;
  return reopen_nodes(&reopen, &error) ? EXIT_SUCCESS : bgfs_ctl_fail(&reopen.ctl, NULL, error);
}
