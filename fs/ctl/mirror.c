#include "fs/ctl/work.h"

static const BgfsCtlCommand command = {
    .name = "blockgraphctl mirror",
    .operands = "MOUNTPOINT NODE TARGET",
    .least = 2,
    .most = 2,
    .summary =
        "Copies the disk NODE to TARGET, a node or a file, while it is in use, and returns when they are the same. "
        "They are kept "
        "the same until 'blockgraphctl jobs MOUNTPOINT complete ID' lets TARGET take NODE's place, or 'finish' "
        "ends the "
        "copying.",
    .description = "Example:\n"
                   "  blockgraphctl mirror --pivot mnt disk new-disk\n"
                   "  blockgraphctl mirror --finish mnt disk /srv/copy.qcow2\n",
};

typedef struct Options {
  gboolean pivot, finish;
  char *sync;
} Options;

static void options_clear(Options *options)
{
  g_free(options->sync);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static bool parse(BgfsCtlWork *work, Options *options, int argc, char **argv, int *status)
{
  const GOptionEntry entries[] = {
      {"finish", 0, 0, G_OPTION_ARG_NONE, &options->finish, "End when they are the same: TARGET is a copy", NULL},
      BGFS_CTL_FORMAT_ENTRY(work),
      {"pivot", 0, 0, G_OPTION_ARG_NONE, &options->pivot, "Let TARGET take NODE's place when they are the same", NULL},
      {"sync", 0, 0, G_OPTION_ARG_STRING, &options->sync,
       "What to copy: all, what NODE itself holds, or what is written from now on (default: full)", "full|top|none"},
      {NULL},
  };
  if (!bgfs_ctl_work_parse(work, "mirror", &command, entries, argc, argv, status))
    return false;
  if (!options->pivot || !options->finish)
    return true;
  *status = bgfs_ctl_usage(&work->ctl, "--pivot and --finish exclude each other");
  return false;
}

int bgfs_ctl_mirror(int argc, char **argv)
{
  g_auto(BgfsCtlWork) work = {0};
  g_auto(Options) options = {0};
  GError *error = NULL;
  int status;
  if (!parse(&work, &options, argc, argv, &status))
    return status;
  const char *node = bgfs_ctl_operand(&work.ctl, 0);
  if (!bgfs_ctl_connect(&work.ctl, &error))
    return bgfs_ctl_fail(&work.ctl, NULL, error);
  JsonObject *arguments = bgfs_ctl_arguments("device", node, "sync", options.sync ? options.sync : "full", NULL);
  work.replaces = options.pivot;
  BgfsCtlReady ready = options.pivot    ? BGFS_CTL_READY_COMPLETE
                       : options.finish ? BGFS_CTL_READY_FINISH
                                        : BGFS_CTL_READY_LEAVE;
  return bgfs_ctl_work_run(&work, node, bgfs_ctl_operand(&work.ctl, 1), "blockdev-mirror", arguments, ready);
}
