#include "fs/create.h"

#include "drivers/registry.h"
#include "fs/secret.h"
#include "graph/blockdev.h"
#include "graph/create.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

typedef struct Arguments {
  char *format, *backing, *backing_format;
  char **options, **secrets, **rest;
  gboolean help;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  g_free(arguments->format);
  g_free(arguments->backing);
  g_free(arguments->backing_format);
  g_strfreev(arguments->options);
  g_strfreev(arguments->secrets);
  g_strfreev(arguments->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static GOptionContext *make_context(Arguments *arguments)
{
  const GOptionEntry entries[] = {
      {"format", 'f', 0, G_OPTION_ARG_FILENAME, &arguments->format, "The new image's format", "FORMAT"},
      {"backing", 'b', 0, G_OPTION_ARG_FILENAME, &arguments->backing,
       "The disk that shows where the new one has nothing of its own", "BASE"},
      {"backing-format", 'F', 0, G_OPTION_ARG_FILENAME, &arguments->backing_format, "BASE's format", "FORMAT"},
      {"options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->options, "The format's options (see --driver-help)",
       "OPT=VALUE[,…]"},
      {"secret", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->secrets,
       "A passphrase for encrypt.key-secret; without file= it is asked for (repeatable)",
       "id=ID[,file=PATH][,format=raw|base64]"},
      {"object", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->secrets, "The same, as QEMU spells it",
       "secret,id=ID,…"},
      {"help", 'h', 0, G_OPTION_ARG_NONE, &arguments->help, "Print this text", NULL},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->rest, NULL, NULL},
      {NULL},
  };
  GOptionContext *context = g_option_context_new("FILE [SIZE]");
  g_option_context_set_summary(
      context, "Makes a new, empty disk image. SIZE is in bytes, or with K, M, G, T, P or E behind it; with -b it may\n"
               "be left out: BASE's size. FILE must not exist.");
  g_option_context_set_description(context, "Example:\n"
                                            "  blockgraphfs create -f qcow2 -b base.raw -F raw overlay.qcow2\n");
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, entries, NULL);
  return context;
}

static bool take_options(BgDict *dict, char **texts, GError **error)
{
  for (char **text = texts; text && *text; text++) {
    g_autoptr(BgDict) one = bg_blockdev_parse(*text, error);
    if (!one) {
      g_prefix_error(error, "-o: ");
      return false;
    }
    const char *key;
    while ((key = bg_dict_first_key(one))) {
      g_autofree char *name = g_strdup(key);
      g_autofree char *value = bg_dict_take(one, name);
      bg_dict_set(dict, name, value);
    }
  }
  return true;
}

static bool check(const Arguments *arguments, uint64_t *size, GError **error)
{
  guint count = arguments->rest ? g_strv_length(arguments->rest) : 0;
  if (!arguments->format) {
    bg_set_error(error, EINVAL, "-f FORMAT is missing");
    return false;
  }
  if (!arguments->backing != !arguments->backing_format) {
    bg_set_error(error, EINVAL,
                 arguments->backing ? "-F FORMAT is missing: BASE's format" : "-F is of use with -b only");
    return false;
  }
  if (count == 0 || count > 2) {
    bg_set_error(error, EINVAL, count ? "one argument too many" : "FILE is missing");
    return false;
  }
  if (count == 1 && !arguments->backing) {
    bg_set_error(error, EINVAL, "SIZE is missing");
    return false;
  }
  *size = UINT64_MAX;
  return count == 1 || bg_parse_size(arguments->rest[1], size, error);
}

static int usage(const GError *error)
{
  fprintf(stderr, "blockgraphfs create: %s\n", error->message);
  return EXIT_USAGE;
}

static BgSecrets *load_secrets(const Arguments *arguments, GError **error)
{
  g_autoptr(GPtrArray) texts = g_ptr_array_new();
  for (char **text = arguments->secrets; text && *text; text++)
    g_ptr_array_add(texts, *text);
  return bgfs_secrets_load(texts, error);
}

int bgfs_create(int argc, char **argv)
{
  g_set_prgname("blockgraphfs create");
  g_auto(Arguments) arguments = {0};
  g_autoptr(GOptionContext) context = make_context(&arguments);
  g_autoptr(GError) error = NULL;
  g_autoptr(BgDict) options = bg_dict_new();
  uint64_t size;
  if (!g_option_context_parse(context, &argc, &argv, &error))
    return usage(error);
  if (arguments.help) {
    g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);
    fputs(text, stdout);
    return EXIT_SUCCESS;
  }
  if (!check(&arguments, &size, &error) || !take_options(options, arguments.options, &error))
    return usage(error);
  g_autoptr(BgSecrets) secrets = load_secrets(&arguments, &error);
  if (secrets && bg_create_image(arguments.format, arguments.rest[0], size, options, arguments.backing,
                                 arguments.backing_format, secrets, &error))
    return EXIT_SUCCESS;
  fprintf(stderr, "blockgraphfs create: %s: %s\n", arguments.rest[0], error->message);
  return EXIT_FAILURE;
}
