#include "drivers/error.h"
#include "fs/ctl/nodes.h"
#include "fs/ctl/work.h"

#include <errno.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl commit",
    .operands = "MOUNTPOINT NODE",
    .least = 1,
    .most = 1,
    .summary =
        "Writes what the overlay NODE holds into the disk below it, or into BASE with all that lies between. What "
        "stands "
        "on NODE then stands on the other, which shows the same; where nothing does, the other takes NODE's place.",
    .description = "Example:\n"
                   "  blockgraphctl commit mnt/disk.backing\n",
};

static JsonObject *arguments_of(BgfsCtlWork *work, const char *top, const char *base, const char *backing_file,
                                GError **error)
{
  g_autoptr(BgfsCtlNodes) nodes = bgfs_ctl_nodes_query(&work->ctl, error);
  JsonObject *node = nodes ? bgfs_ctl_nodes_find(nodes, top, error) : NULL;
  if (!node)
    return NULL;
  base = base ? base : bgfs_ctl_nodes_child(node, "backing");
  if (base)
    return bgfs_ctl_arguments("device", bgfs_ctl_nodes_top(nodes, top), "top-node", top, "base-node", base,
                              "backing-file", backing_file, NULL);
  bg_set_error(error, EINVAL, "there is nothing below it to commit into");
  return NULL;
}

int bgfs_ctl_commit(int argc, char **argv)
{
  g_auto(BgfsCtlWork) work = {0};
  g_autofree char *base = NULL, *backing_file = NULL;
  const GOptionEntry entries[] = {
      {"backing-file", 0, 0, G_OPTION_ARG_STRING, &backing_file,
       "How the image above NODE shall name its new backing file", "FILE"},
      {"base", 'b', 0, G_OPTION_ARG_STRING, &base, "Commit into this one (default: what NODE stands on)", "NODE"},
      {NULL},
  };
  GError *error = NULL;
  int status;
  if (!bgfs_ctl_work_parse(&work, "commit", &command, entries, argc, argv, &status))
    return status;
  const char *top = bgfs_ctl_operand(&work.ctl, 0);
  if (!bgfs_ctl_connect(&work.ctl, &error))
    return bgfs_ctl_fail(&work.ctl, NULL, error);
  JsonObject *arguments = arguments_of(&work, top, base, backing_file, &error);
  if (!arguments)
    return bgfs_ctl_fail(&work.ctl, top, error);
  return bgfs_ctl_work_run(&work, top, NULL, "block-commit", arguments, BGFS_CTL_READY_COMPLETE);
}
