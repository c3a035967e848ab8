#include "fs/commands/unmount.h"

#include "fs/unmount.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2, DEFAULT_TIMEOUT = 60 /* seconds */ };

typedef struct Arguments {
  gboolean lazy, help;
  int timeout;
  char **rest;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  g_strfreev(arguments->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static GOptionContext *make_context(Arguments *arguments)
{
  const GOptionEntry entries[] = {
      {"lazy", 'l', 0, G_OPTION_ARG_NONE, &arguments->lazy,
       "Take a busy mount away at once, then wait for its open files", NULL},
      {"timeout", 't', 0, G_OPTION_ARG_INT, &arguments->timeout,
       "How long to wait for the images to be released (default: 60)", "SECONDS"},
      {"help", 'h', 0, G_OPTION_ARG_NONE, &arguments->help, "Print this text", NULL},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->rest, NULL, NULL},
      {NULL},
  };
  GOptionContext *context = g_option_context_new("MOUNTPOINT");
  g_option_context_set_summary(
      context, "Unmounts and returns when the images and their locks are released (umount alone returns earlier).");
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, entries, NULL);
  return context;
}

static int usage(const char *message)
{
  fprintf(stderr, "blockgraphfs unmount: %s\n", message);
  return EXIT_USAGE;
}

int bgfs_unmount(int argc, char **argv)
{
  g_set_prgname("blockgraphfs unmount");
  g_auto(Arguments) arguments = {.timeout = DEFAULT_TIMEOUT};
  g_autoptr(GOptionContext) context = make_context(&arguments);
  g_autoptr(GError) error = NULL;
  if (!g_option_context_parse(context, &argc, &argv, &error))
    return usage(error->message);
  if (arguments.help) {
    g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);
    fputs(text, stdout);
    return EXIT_SUCCESS;
  }
  if (!arguments.rest || !arguments.rest[0] || arguments.rest[1])
    return usage("one MOUNTPOINT is needed");
  if (arguments.timeout < 1)
    return usage("the timeout must be at least 1 second");
  if (bgfs_unmount_and_wait(arguments.rest[0], arguments.lazy, (unsigned)arguments.timeout, &error))
    return EXIT_SUCCESS;
  fprintf(stderr, "blockgraphfs unmount: %s: %s\n", arguments.rest[0], error->message);
  return EXIT_FAILURE;
}
