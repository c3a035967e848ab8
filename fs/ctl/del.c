#include "fs/ctl/command.h"

#include <limits.h>
#include <stdlib.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl del",
    .operands = "MOUNTPOINT NODE …",
    .least = 1,
    .most = UINT_MAX,
    .summary =
        "Takes nodes out of the graph: their files vanish, their images are released. A node that is open or that "
        "another stands on is refused.",
};

int bgfs_ctl_del(int argc, char **argv)
{
  g_auto(BgfsCtl) ctl = {0};
  GError *error = NULL;
  int status;
  if (!bgfs_ctl_parse(&ctl, &command, NULL, argc, argv, &status))
    return status;
  if (!bgfs_ctl_connect(&ctl, &error))
    return bgfs_ctl_fail(&ctl, NULL, error);
  status = EXIT_SUCCESS;
  for (unsigned i = 0; i < ctl.operands->len; i++) {
    const char *node = bgfs_ctl_operand(&ctl, i);
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "node-name", node);
    if (!bgfs_ctl_client_do(ctl.client, "blockdev-del", arguments, &error))
      status = bgfs_ctl_fail(&ctl, node, g_steal_pointer(&error));
  }
  return status;
}
