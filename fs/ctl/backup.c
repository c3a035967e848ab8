#include "fs/ctl/work.h"

static const BgfsCtlCommand command = {
    .name = "blockgraphctl backup",
    .operands = "MOUNTPOINT NODE TARGET",
    .least = 2,
    .most = 2,
    .summary = "Copies the disk NODE, as it is at this moment, to TARGET, a node or a file. NODE can be written "
               "meanwhile. With "
               "--bitmap "
               "only what is dirty in it is copied, and the bitmap begins anew.",
    .description = "Example:\n"
                   "  blockgraphctl backup mnt disk /srv/copy.qcow2\n",
};

typedef struct Options {
  char *sync, *bitmap, *bitmap_mode;
  gboolean compress;
} Options;

static void options_clear(Options *options)
{
  g_free(options->sync);
  g_free(options->bitmap);
  g_free(options->bitmap_mode);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static bool parse(BgfsCtlWork *work, Options *options, int argc, char **argv, int *status)
{
  const GOptionEntry entries[] = {
      {"bitmap", 0, 0, G_OPTION_ARG_STRING, &options->bitmap, "Copy what is dirty in this bitmap of NODE", "NAME"},
      {"bitmap-mode", 0, 0, G_OPTION_ARG_STRING, &options->bitmap_mode,
       "When the bitmap begins anew (default: on-success)", "on-success|always|never"},
      {"compress", 'c', 0, G_OPTION_ARG_NONE, &options->compress, "Compress what is written to TARGET", NULL},
      BGFS_CTL_FORMAT_ENTRY(work),
      {"sync", 0, 0, G_OPTION_ARG_STRING, &options->sync, "What to copy (default: full; with --bitmap: bitmap)",
       "full|top|none|bitmap"},
      {NULL},
  };
  if (!bgfs_ctl_work_parse(work, "backup", &command, entries, argc, argv, status))
    return false;
  if (!options->bitmap_mode || options->bitmap)
    return true;
  *status = bgfs_ctl_usage(&work->ctl, "--bitmap-mode is of use with --bitmap only");
  return false;
}

static JsonObject *arguments_of(const BgfsCtlWork *work, const Options *options)
{
  const char *sync = options->sync ? options->sync : options->bitmap ? "bitmap" : "full";
  const char *mode = options->bitmap && !options->bitmap_mode ? "on-success" : options->bitmap_mode;
  JsonObject *arguments = bgfs_ctl_arguments("device", bgfs_ctl_operand(&work->ctl, 0), "sync", sync, "bitmap",
                                             options->bitmap, "bitmap-mode", mode, NULL);
  if (options->compress)
    json_object_set_boolean_member(arguments, "compress", TRUE);
  return arguments;
}

int bgfs_ctl_backup(int argc, char **argv)
{
  g_auto(BgfsCtlWork) work = {0};
  g_auto(Options) options = {0};
  GError *error = NULL;
  int status;
  if (!parse(&work, &options, argc, argv, &status))
    return status;
  if (!bgfs_ctl_connect(&work.ctl, &error))
    return bgfs_ctl_fail(&work.ctl, NULL, error);
  return bgfs_ctl_work_run(&work, bgfs_ctl_operand(&work.ctl, 0), bgfs_ctl_operand(&work.ctl, 1), "blockdev-backup",
                           arguments_of(&work, &options), BGFS_CTL_READY_COMPLETE);
}
