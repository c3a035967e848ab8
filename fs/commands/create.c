#include "fs/commands/create.h"

#include "drivers/registry.h"
#include "fs/secret.h"
#include "fs/subcommand.h"
#include "graph/blockdev.h"
#include "graph/create.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

static const BgfsSubcommand command = {
    .name = "blockgraphfs create",
    .operands = "FILE [SIZE]",
    .most = 2,
    .summary = "Makes a new, empty disk image. SIZE is in bytes, or with K, M, G, T, P or E behind it; with -b it may\n"
               "be left out: BASE's size. FILE must not exist.",
    .description = "Example:\n"
                   "  blockgraphfs create -f qcow2 -b base.raw -F raw overlay.qcow2\n",
    .usage_status = EXIT_USAGE,
};

typedef struct Arguments {
  char *format, *backing, *backing_format;
  char **options, **secrets, **operands;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  g_free(arguments->format);
  g_free(arguments->backing);
  g_free(arguments->backing_format);
  g_strfreev(arguments->options);
  g_strfreev(arguments->secrets);
  g_strfreev(arguments->operands);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static bool parse(Arguments *a, int argc, char **argv, int *status)
{
  const GOptionEntry entries[] = {
      {"format", 'f', 0, G_OPTION_ARG_FILENAME, &a->format, "The new image's format", "FORMAT"},
      {"backing", 'b', 0, G_OPTION_ARG_FILENAME, &a->backing,
       "The disk that shows where the new one has nothing of its own", "BASE"},
      {"backing-format", 'F', 0, G_OPTION_ARG_FILENAME, &a->backing_format, "BASE's format", "FORMAT"},
      {"options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &a->options, "The format's options (see --driver-help)",
       "OPT=VALUE[,…]"},
      {"secret", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a->secrets,
       "A passphrase for encrypt.key-secret; without file= it is asked for (repeatable)",
       "id=ID[,file=PATH][,format=raw|base64]"},
      {"object", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &a->secrets, "The same, as QEMU spells it", "secret,id=ID,…"},
      {NULL},
  };
  return bgfs_subcommand_parse(&command, entries, argc, argv, &a->operands, status);
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
  const char *given = arguments->operands[1];
  *size = UINT64_MAX;
  if (!arguments->format)
    bg_set_error(error, EINVAL, "-f FORMAT is missing");
  else if (!arguments->backing != !arguments->backing_format)
    bg_set_error(error, EINVAL,
                 arguments->backing ? "-F FORMAT is missing: BASE's format" : "-F is of use with -b only");
  else if (!given && !arguments->backing)
    bg_set_error(error, EINVAL, "SIZE is missing");
  else
    return !given || bg_parse_size(given, size, error);
  return false;
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
  g_auto(Arguments) arguments = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(BgDict) options = bg_dict_new();
  uint64_t size;
  int status;
  if (!parse(&arguments, argc, argv, &status))
    return status;
  if (!check(&arguments, &size, &error) || !take_options(options, arguments.options, &error))
    return bgfs_subcommand_usage(&command, error->message);
  const char *filename = arguments.operands[0];
  g_autoptr(BgSecrets) secrets = load_secrets(&arguments, &error);
  if (secrets && bg_create_image(arguments.format, filename, size, options, arguments.backing, arguments.backing_format,
                                 secrets, &error))
    return EXIT_SUCCESS;
  return bgfs_subcommand_fail(&command, filename, error->message);
}
