#include "fs/subcommand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bgfs_subcommand_usage(const BgfsSubcommand *command, const char *message)
{
  fprintf(stderr, "%s: %s\n", command->name, message);
  return command->usage_status;
}

int bgfs_subcommand_fail(const BgfsSubcommand *command, const char *file, const char *message)
{
  fprintf(stderr, "%s: %s: %s\n", command->name, file, message);
  return EXIT_FAILURE;
}

static void print(void *data, const char *text, size_t length)
{
  (void)data;
  fwrite(text, 1, length, stdout);
}

BgJsonWriter bgfs_subcommand_json(void)
{
  return (BgJsonWriter){.write = print};
}

static GOptionContext *make_context(const BgfsSubcommand *command, const GOptionEntry *entries, gboolean *help,
                                    char ***operands)
{
  const GOptionEntry common[] = {
      {"help", 'h', 0, G_OPTION_ARG_NONE, help, "Print this text", NULL},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, operands, NULL, NULL},
      {NULL},
  };
  GOptionContext *context = g_option_context_new(command->operands);
  g_option_context_set_summary(context, command->summary);
  g_option_context_set_description(context, command->description);
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, entries, NULL);
  g_option_context_add_main_entries(context, common, NULL);
  return context;
}

static bool check_operands(const BgfsSubcommand *command, char **operands, int *status)
{
  guint count = operands ? g_strv_length(operands) : 0;
  g_autofree char *first = g_strndup(command->operands, strcspn(command->operands, " "));
  g_autofree char *missing = g_strdup_printf("%s is missing", first);
  if (count == 0 && !command->none_will_do)
    *status = bgfs_subcommand_usage(command, missing);
  else if (count > command->most)
    *status = bgfs_subcommand_usage(command, "one argument too many");
  else
    return true;
  return false;
}

bool bgfs_subcommand_parse(const BgfsSubcommand *command, const GOptionEntry *entries, int argc, char **argv,
                           char ***operands, int *status)
{
  gboolean help = FALSE;
  g_auto(GStrv) given = NULL;
  g_set_prgname(command->name);
  g_autoptr(GOptionContext) context = make_context(command, entries, &help, &given);
  g_autoptr(GError) error = NULL;
  if (!g_option_context_parse(context, &argc, &argv, &error)) {
    *status = bgfs_subcommand_usage(command, error->message);
    return false;
  }
  if (help) {
    g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);
    fputs(text, stdout);
    *status = EXIT_SUCCESS;
    return false;
  }
  if (!check_operands(command, given, status))
    return false;
  *operands = g_steal_pointer(&given);
  return true;
}
