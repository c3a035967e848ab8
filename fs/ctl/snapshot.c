#include "graph/snapshot.h"
#include "fs/ctl/overlay.h"
#include "fs/ctl/snapshots.h"
#include "fs/ctl/values.h"
#include "fs/snapshot-list.h"

#include <stdlib.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl snapshot",
    .operands = "MOUNTPOINT NODE",
    .least = 1,
    .most = 1,
    .summary =
        "Lists the internal snapshots of NODE, or takes, applies or deletes one; or puts a new image on NODE, so that "
        "NODE stays as it is and what is written goes to the new one.",
    .description = "Example:\n"
                   "  blockgraphctl snapshot -c before-upgrade mnt/disk\n",
};

typedef struct Arguments {
  BgfsCtl ctl;
  gboolean list;
  char *create, *apply, *delete, *overlay, *name;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  bgfs_ctl_clear(&arguments->ctl);
  g_free(arguments->create);
  g_free(arguments->apply);
  g_free(arguments->delete);
  g_free(arguments->overlay);
  g_free(arguments->name);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static bool parse(Arguments *a, int argc, char **argv, int *status)
{
  const GOptionEntry entries[] = {
      {"list", 'l', 0, G_OPTION_ARG_NONE, &a->list, "List the snapshots (the default)", NULL},
      {"create", 'c', 0, G_OPTION_ARG_STRING, &a->create, "Take a snapshot", "NAME"},
      {"apply", 'a', 0, G_OPTION_ARG_STRING, &a->apply, "Make the disk what it was then", "NAME|ID"},
      {"delete", 'd', 0, G_OPTION_ARG_STRING, &a->delete, "Delete a snapshot", "NAME|ID"},
      {"overlay", 'o', 0, G_OPTION_ARG_FILENAME, &a->overlay, "Make this image and put it on NODE", "FILE"},
      {"node-name", 'n', 0, G_OPTION_ARG_STRING, &a->name, "The overlay's node (default: named after FILE)", "NAME"},
      {NULL},
  };
  if (!bgfs_ctl_parse(&a->ctl, &command, entries, argc, argv, status))
    return false;
  int actions = !!a->list + !!a->create + !!a->apply + !!a->delete + !!a->overlay;
  if (actions > 1)
    *status = bgfs_ctl_usage(&a->ctl, "-l, -c, -a, -d and -o exclude each other");
  else if (a->name && !a->overlay)
    *status = bgfs_ctl_usage(&a->ctl, "-n is of use with -o only");
  else
    return true;
  return false;
}

static bool list(const Arguments *arguments, const GPtrArray *snapshots)
{
  (arguments->ctl.json ? bgfs_snapshot_list_json : bgfs_snapshot_list_text)(snapshots);
  return true;
}

/* Applies or deletes the one that is meant. */
static bool change(Arguments *arguments, const char *node, const GPtrArray *snapshots, GError **error)
{
  const char *wanted = arguments->apply ? arguments->apply : arguments->delete;
  const BgSnapshot *snapshot = bg_snapshots_find(snapshots, wanted, error);
  if (!snapshot)
    return false;
  const char *name = arguments->apply ? "blockgraph-snapshot-apply" : "blockdev-snapshot-delete-internal-sync";
  return bgfs_ctl_client_do(arguments->ctl.client, name, bgfs_ctl_arguments("device", node, "id", snapshot->id, NULL),
                            error);
}

static bool run(Arguments *arguments, const char *node, GError **error)
{
  BgfsCtl *ctl = &arguments->ctl;
  if (arguments->overlay)
    return bgfs_ctl_overlay(ctl, node, arguments->overlay, arguments->name, error);
  if (arguments->create)
    return bgfs_ctl_client_do(ctl->client, "blockdev-snapshot-internal-sync",
                              bgfs_ctl_arguments("device", node, "name", arguments->create, NULL), error);
  g_autoptr(GPtrArray) snapshots = bgfs_ctl_snapshots_query(ctl, node, error);
  if (!snapshots)
    return false;
  bool changes = arguments->apply || arguments->delete;
  return changes ? change(arguments, node, snapshots, error) : list(arguments, snapshots);
}

int bgfs_ctl_snapshot(int argc, char **argv)
{
  g_auto(Arguments) arguments = {0};
  GError *error = NULL;
  int status;
  if (!parse(&arguments, argc, argv, &status))
    return status;
  if (!bgfs_ctl_connect(&arguments.ctl, &error))
    return bgfs_ctl_fail(&arguments.ctl, NULL, error);
  const char *node = bgfs_ctl_operand(&arguments.ctl, 0);
  return run(&arguments, node, &error) ? EXIT_SUCCESS : bgfs_ctl_fail(&arguments.ctl, node, error);
}
