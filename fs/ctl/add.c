#include "fs/ctl/command.h"
#include "fs/ctl/node-options.h"

#include <limits.h>
#include <stdlib.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl add",
    .operands = "MOUNTPOINT NODE …",
    .least = 1,
    .most = UINT_MAX,
    .summary =
        "Adds nodes to the graph, in the order given; each is a file in the mount at once. NODE is written as for "
        "blockgraphfs --blockdev, key=value,child.key=value or JSON, and has to have a node-name.",
    .description = "Example:\n"
                   "  blockgraphctl add mnt driver=qcow2,node-name=b,file.driver=file,file.filename=b.qcow2\n",
};

/* All are read before the first one is added. */
static GPtrArray *parse_all(const BgfsCtl *ctl, GError **error)
{
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)bg_dict_free);
  for (unsigned i = 0; i < ctl->operands->len; i++) {
    BgDict *options = bgfs_ctl_options_parse(bgfs_ctl_operand(ctl, i), error);
    if (!options)
      return NULL;
    g_ptr_array_add(all, options);
  }
  return g_steal_pointer(&all);
}

int bgfs_ctl_add(int argc, char **argv)
{
  g_auto(BgfsCtl) ctl = {0};
  GError *error = NULL;
  int status;
  if (!bgfs_ctl_parse(&ctl, &command, NULL, argc, argv, &status))
    return status;
  g_autoptr(GPtrArray) nodes = parse_all(&ctl, &error);
  if (!nodes) {
    g_autoptr(GError) wrong = error;
    return bgfs_ctl_usage(&ctl, wrong->message);
  }
  if (!bgfs_ctl_connect(&ctl, &error))
    return bgfs_ctl_fail(&ctl, NULL, error);
  for (guint i = 0; i < nodes->len; i++)
    if (!bgfs_ctl_client_do(ctl.client, "blockdev-add", bgfs_ctl_options_json(nodes->pdata[i]), &error))
      return bgfs_ctl_fail(&ctl, bg_dict_get(nodes->pdata[i], "node-name"), error);
  return EXIT_SUCCESS;
}
