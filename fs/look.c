#include "fs/look.h"

#include "fs/image.h"
#include "graph/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

typedef struct Arguments {
  char *format;
  char **allowed, **rest;
  gboolean json, chain, trust_images, help;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  g_free(arguments->format);
  g_strfreev(arguments->allowed);
  g_strfreev(arguments->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static GOptionContext *make_context(Arguments *arguments, const char *summary, bool with_chain)
{
  const GOptionEntry entries[] = {
      {"format", 'f', 0, G_OPTION_ARG_FILENAME, &arguments->format, "IMAGE's format (default: found by content)",
       "FORMAT"},
      {"json", 0, 0, G_OPTION_ARG_NONE, &arguments->json, "Print JSON, with qemu-img's names", NULL},
      {"allow-reference", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->allowed,
       "Let images refer to what begins with this path or URI (repeatable)", "PATH|URI"},
      {"trust-images", 0, 0, G_OPTION_ARG_NONE, &arguments->trust_images, "Let images refer to anything", NULL},
      {"help", 'h', 0, G_OPTION_ARG_NONE, &arguments->help, "Print this text", NULL},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->rest, NULL, NULL},
      {NULL},
  };
  const GOptionEntry chain[] = {
      {"backing-chain", 0, 0, G_OPTION_ARG_NONE, &arguments->chain, "Tell of all images that IMAGE stands on, too",
       NULL},
      {NULL},
  };
  GOptionContext *context = g_option_context_new("IMAGE");
  g_option_context_set_summary(context, summary);
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, entries, NULL);
  if (!with_chain)
    g_option_context_add_main_entries(context, chain, NULL);
  return context;
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
  fprintf(stderr, "%s: %s: %s\n", g_get_prgname(), look->image, message);
  return EXIT_FAILURE;
}

bool bgfs_look_open(BgfsLook *look, int argc, char **argv, const char *summary, bool with_chain, int *status)
{
  g_auto(Arguments) arguments = {0};
  g_autoptr(GOptionContext) context = make_context(&arguments, summary, with_chain);
  g_autoptr(GError) error = NULL;
  bool parsed = g_option_context_parse(context, &argc, &argv, &error);
  guint count = arguments.rest ? g_strv_length(arguments.rest) : 0;
  if (parsed && arguments.help) {
    g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);
    fputs(text, stdout);
    *status = EXIT_SUCCESS;
    return false;
  }
  if (parsed && count != 1)
    bg_set_error(&error, EINVAL, count ? "one argument too many" : "IMAGE is missing");
  if (error) {
    fprintf(stderr, "%s: %s\n", g_get_prgname(), error->message);
    *status = EXIT_USAGE;
    return false;
  }
  look->image = g_strdup(arguments.rest[0]);
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
