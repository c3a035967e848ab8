#include "fs/ctl/command.h"

#include "drivers/error.h"
#include "fs/ctl/socket.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TIMEOUT = 60 /* seconds */ };

/* ── the command line ── */

static GArray *all_entries(BgfsCtl *ctl, const GOptionEntry *own)
{
  const GOptionEntry common[] = {
      {"json", 0, 0, G_OPTION_ARG_NONE, &ctl->json, "Print what is found out as JSON", NULL},
      {"socket", 's', 0, G_OPTION_ARG_FILENAME, &ctl->socket,
       "The control socket; MOUNTPOINT, which tells it otherwise, is left out", "PATH"},
      {"timeout", 't', 0, G_OPTION_ARG_INT, &ctl->timeout, "How long to wait for each answer (default: 60)", "SECONDS"},
  };
  GArray *entries = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));
  for (; own && own->long_name; own++)
    g_array_append_vals(entries, own, 1);
  g_array_append_vals(entries, common, G_N_ELEMENTS(common));
  return entries;
}

/* MOUNTPOINT, or MOUNTPOINT/NODE. */
static void take_mountpoint(BgfsCtl *ctl, const BgfsCtlCommand *command, const char *given)
{
  if (command->most == 0 || g_file_test(given, G_FILE_TEST_IS_DIR)) {
    ctl->mountpoint = g_strdup(given);
    return;
  }
  ctl->mountpoint = g_path_get_dirname(given);
  g_ptr_array_add(ctl->operands, g_path_get_basename(given));
}

static bool refuse_missing(const BgfsCtl *ctl, const BgfsCtlCommand *command, unsigned index, int *status)
{
  g_auto(GStrv) words = g_strsplit(command->operands, " ", -1);
  g_autofree char *message = g_strdup_printf("%s is missing", words[index]);
  *status = bgfs_ctl_usage(ctl, message);
  return false;
}

static bool take_operands(BgfsCtl *ctl, const BgfsCtlCommand *command, char **given, int *status)
{
  if (!ctl->socket && !(given && *given))
    return refuse_missing(ctl, command, 0, status);
  if (!ctl->socket)
    take_mountpoint(ctl, command, *given++);
  for (; given && *given; given++)
    g_ptr_array_add(ctl->operands, g_strdup(*given));
  if (ctl->operands->len < command->least)
    return refuse_missing(ctl, command, 1 + ctl->operands->len, status);
  if (ctl->operands->len <= command->most)
    return true;
  *status = bgfs_ctl_usage(ctl, "one argument too many");
  return false;
}

bool bgfs_ctl_parse(BgfsCtl *ctl, const BgfsCtlCommand *command, const GOptionEntry *entries, int argc, char **argv,
                    int *status)
{
  *ctl = (BgfsCtl){
      .subcommand =
          {
              .name = command->name,
              .operands = command->operands,
              .most = UINT_MAX,
              .none_will_do = true,
              .summary = command->summary,
              .description = command->description,
              .usage_status = BGFS_CTL_USAGE,
          },
      .timeout = DEFAULT_TIMEOUT,
      .operands = g_ptr_array_new_with_free_func(g_free),
  };
  g_autoptr(GArray) all = all_entries(ctl, entries);
  g_auto(GStrv) given = NULL;
  if (!bgfs_subcommand_parse(&ctl->subcommand, (const GOptionEntry *)(void *)all->data, argc, argv, &given, status))
    return false;
  if (ctl->timeout < 1 || ctl->timeout > INT_MAX / 1000) {
    *status = bgfs_ctl_usage(ctl, "the timeout must be at least 1 second");
    return false;
  }
  return take_operands(ctl, command, given, status);
}

void bgfs_ctl_clear(BgfsCtl *ctl)
{
  bgfs_ctl_client_free(ctl->client);
  if (ctl->operands)
    g_ptr_array_unref(ctl->operands);
  g_free(ctl->mountpoint);
  g_free(ctl->socket);
}

const char *bgfs_ctl_operand(const BgfsCtl *ctl, unsigned index)
{
  return index < ctl->operands->len ? ctl->operands->pdata[index] : NULL;
}

const char *bgfs_ctl_place(const BgfsCtl *ctl)
{
  return ctl->socket ? ctl->socket : ctl->mountpoint;
}

/* ── the connection ── */

bool bgfs_ctl_connect(BgfsCtl *ctl, GError **error)
{
  g_autofree char *path = ctl->socket ? g_strdup(ctl->socket) : bgfs_ctl_socket_of(ctl->mountpoint, error);
  if (!path) {
    g_prefix_error(error, "%s: ", ctl->mountpoint);
    return false;
  }
  ctl->client = bgfs_ctl_client_new(path, ctl->timeout * 1000, error);
  if (!ctl->client)
    g_prefix_error(error, "%s: ", path);
  return ctl->client;
}

/* ── what is printed ── */

int bgfs_ctl_fail(const BgfsCtl *ctl, const char *what, GError *error)
{
  if (what)
    bgfs_subcommand_fail(&ctl->subcommand, what, error->message);
  else
    bgfs_subcommand_usage(&ctl->subcommand, error->message);
  g_error_free(error);
  return EXIT_FAILURE;
}

int bgfs_ctl_usage(const BgfsCtl *ctl, const char *message)
{
  return bgfs_subcommand_usage(&ctl->subcommand, message);
}

void bgfs_ctl_print_json(JsonNode *value)
{
  g_autofree char *text = json_to_string(value, TRUE);
  puts(text);
}
