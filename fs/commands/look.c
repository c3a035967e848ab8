#include "fs/commands/look.h"

#include "fs/path.h"
#include "graph/image.h"

typedef struct Arguments {
  char *format;
  char **allowed, **images;
  gboolean json, chain, trust_images;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  g_free(arguments->format);
  g_strfreev(arguments->allowed);
  g_strfreev(arguments->images);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static bool parse(Arguments *a, const BgfsSubcommand *command, int argc, char **argv, bool with_chain, int *status)
{
  const GOptionEntry entries[] = {
      {"format", 'f', 0, G_OPTION_ARG_FILENAME, &a->format, "IMAGE's format (default: found by content)", "FORMAT"},
      {"json", 0, 0, G_OPTION_ARG_NONE, &a->json, "Print JSON, with qemu-img's names", NULL},
      {"allow-reference", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a->allowed,
       "Let images refer to what begins with this path or URI (repeatable)", "PATH|URI"},
      {"trust-images", 0, 0, G_OPTION_ARG_NONE, &a->trust_images, "Let images refer to anything", NULL},
      {with_chain ? NULL : "backing-chain", 0, 0, G_OPTION_ARG_NONE, &a->chain,
       "Tell of all images that IMAGE stands on, too", NULL},
      {NULL},
  };
  return bgfs_subcommand_parse(command, entries, argc, argv, &a->images, status);
}

static bool open_image(BgfsLook *look, const Arguments *arguments, bool chain, GError **error)
{
  BgPolicy policy = {.trust_images = arguments->trust_images,
                     .allowed = (const char *const *)arguments->allowed,
                     .without_keys = true};
  g_autofree char *filename = bgfs_absolute_path(look->image);
  look->graph = bg_graph_new(&policy, NULL, NULL);
  look->node = bg_image_open(look->graph, filename, look->format, chain, error);
  return look->node;
}

int bgfs_look_fail(const BgfsLook *look, const char *message)
{
  return bgfs_subcommand_fail(look->command, look->image, message);
}

bool bgfs_look_open(BgfsLook *look, const BgfsSubcommand *command, int argc, char **argv, bool with_chain, int *status)
{
  g_auto(Arguments) arguments = {0};
  g_autoptr(GError) error = NULL;
  if (!parse(&arguments, command, argc, argv, with_chain, status))
    return false;
  look->command = command;
  look->image = g_strdup(arguments.images[0]);
  look->format = g_strdup(arguments.format);
  look->json = arguments.json;
  look->chain = arguments.chain;
  if (open_image(look, &arguments, with_chain || look->chain, &error))
    return true;
  *status = bgfs_look_fail(look, error->message);
  return false;
}

void bgfs_look_close(BgfsLook *look)
{
  if (look->graph)
    bg_graph_close(look->graph, NULL); /* nothing was written */
  g_free(look->image);
  g_free(look->format);
}
