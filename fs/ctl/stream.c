#include "fs/ctl/work.h"

static const BgfsCtlCommand command = {
    .name = "blockgraphctl stream",
    .operands = "MOUNTPOINT NODE",
    .least = 1,
    .most = 1,
    .summary =
        "Fetches into the overlay NODE what the disks below it hold, so that it stands on none of them any more, or on "
        "BASE alone.",
    .description = "Example:\n"
                   "  blockgraphctl stream --speed 100M mnt/disk\n",
};

int bgfs_ctl_stream(int argc, char **argv)
{
  g_auto(BgfsCtlWork) work = {0};
  g_autofree char *base = NULL, *backing_file = NULL;
  const GOptionEntry entries[] = {
      {"backing-file", 0, 0, G_OPTION_ARG_STRING, &backing_file, "How NODE's image shall name BASE", "FILE"},
      {"base", 'b', 0, G_OPTION_ARG_STRING, &base, "Go on standing on this one (default: on none)", "NODE"},
      {NULL},
  };
  GError *error = NULL;
  int status;
  if (!bgfs_ctl_work_parse(&work, "stream", &command, entries, argc, argv, &status))
    return status;
  const char *node = bgfs_ctl_operand(&work.ctl, 0);
  if (!bgfs_ctl_connect(&work.ctl, &error))
    return bgfs_ctl_fail(&work.ctl, NULL, error);
  JsonObject *arguments = bgfs_ctl_arguments("device", node, "base-node", base, "backing-file", backing_file, NULL);
  return bgfs_ctl_work_run(&work, node, NULL, "block-stream", arguments, BGFS_CTL_READY_COMPLETE);
}
