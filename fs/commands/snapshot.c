#include "fs/commands/snapshot.h"

#include "fs/path.h"
#include "fs/snapshot-list.h"
#include "fs/subcommand.h"
#include "graph/image.h"
#include "graph/snapshot.h"

#include <errno.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

static const BgfsSubcommand command = {
    .name = "blockgraphfs snapshot",
    .operands = "IMAGE",
    .most = 1,
    .summary =
        "Lists the internal snapshots of an image, or takes, applies or deletes one. An image that is in use is left "
        "alone.",
    .usage_status = EXIT_USAGE,
};

typedef struct Arguments {
  gboolean list, json, quiet;
  char *create, *apply, *delete, *format;
  char **images;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  g_free(arguments->create);
  g_free(arguments->apply);
  g_free(arguments->delete);
  g_free(arguments->format);
  g_strfreev(arguments->images);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static bool parse(Arguments *a, int argc, char **argv, int *status)
{
  const GOptionEntry entries[] = {
      {"list", 'l', 0, G_OPTION_ARG_NONE, &a->list, "List the snapshots (the default)", NULL},
      {"create", 'c', 0, G_OPTION_ARG_FILENAME, &a->create, "Take a snapshot", "NAME"},
      {"apply", 'a', 0, G_OPTION_ARG_FILENAME, &a->apply, "Make the disk what it was then", "NAME|ID"},
      {"delete", 'd', 0, G_OPTION_ARG_FILENAME, &a->delete, "Delete a snapshot", "NAME|ID"},
      {"format", 'f', 0, G_OPTION_ARG_FILENAME, &a->format, "IMAGE's format (default: found by content)", "FORMAT"},
      {"json", 0, 0, G_OPTION_ARG_NONE, &a->json, "List as JSON, with qemu-img's names", NULL},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &a->quiet, "Print nothing but errors", NULL},
      {NULL},
  };
  if (!bgfs_subcommand_parse(&command, entries, argc, argv, &a->images, status))
    return false;
  int actions = !!a->list + !!a->create + !!a->apply + !!a->delete;
  if (actions > 1)
    *status = bgfs_subcommand_usage(&command, "-l, -c, -a and -d exclude each other");
  else if (a->json && (a->create || a->apply || a->delete))
    *status = bgfs_subcommand_usage(&command, "--json is for lists");
  else
    return true;
  return false;
}

static bool list(BgNode *node, const Arguments *arguments, GError **error)
{
  g_autoptr(GPtrArray) snapshots = bg_node_snapshots(node);
  if (!snapshots)
    bg_set_error(error, ENOTSUP, "The format %s has no internal snapshots", bg_node_driver(node)->name);
  else if (!arguments->quiet)
    (arguments->json ? bgfs_snapshot_list_json : bgfs_snapshot_list_text)(snapshots);
  return snapshots;
}

/* Applies or deletes the one that is meant. */
static bool change(BgNode *node, const Arguments *arguments, GError **error)
{
  g_autoptr(GPtrArray) snapshots = bg_node_snapshots(node);
  if (!snapshots)
    return list(node, arguments, error);
  const BgSnapshot *snapshot =
      bg_snapshots_find(snapshots, arguments->apply ? arguments->apply : arguments->delete, error);
  if (!snapshot)
    return false;
  return (arguments->apply ? bg_node_snapshot_apply : bg_node_snapshot_delete)(node, snapshot->id, error);
}

static bool run(BgGraph *graph, const Arguments *arguments, GError **error)
{
  g_autofree char *filename = bgfs_absolute_path(arguments->images[0]);
  bool changes = arguments->create || arguments->apply || arguments->delete;
  BgNode *node = changes ? bg_image_open_alone(graph, filename, arguments->format, error)
                         : bg_image_open(graph, filename, arguments->format, false, error);
  if (!node)
    return false;
  if (arguments->create)
    return bg_node_snapshot_create(node, arguments->create, error);
  return (changes ? change : list)(node, arguments, error);
}

int bgfs_snapshot(int argc, char **argv)
{
  g_auto(Arguments) arguments = {0};
  static const BgPolicy nothing_by_itself = {.without_keys = true};
  int status;
  if (!parse(&arguments, argc, argv, &status))
    return status;
  g_autoptr(GError) error = NULL;
  BgGraph *graph = bg_graph_new(&nothing_by_itself, NULL, NULL);
  bool done = run(graph, &arguments, &error);
  bool closed = bg_graph_close(graph, done ? &error : NULL);
  return done && closed ? EXIT_SUCCESS : bgfs_subcommand_fail(&command, arguments.images[0], error->message);
}
