#include "config.h"

#include "fs/cli.h"
#include "fs/commands/check.h"
#include "fs/commands/create.h"
#include "fs/commands/info.h"
#include "fs/commands/list.h"
#include "fs/commands/map.h"
#include "fs/commands/snapshot.h"
#include "fs/commands/unmount.h"
#include "fs/mount.h"
#include "fs/qmp/manual.h"
#include "fs/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

/* Secrets are read here, before anything goes into the background: the terminal and the working directory are still the caller's. */
static int mount(BgfsOptions *options)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgSecrets) secrets = bgfs_secrets_load(options->secret_texts, &error);
  options->secrets = secrets;
  if (secrets)
    return bgfs_mount(options);
  fprintf(stderr, "blockgraphfs: %s\n", error->message);
  return EXIT_FAILURE;
}

static int run(BgfsOptions *options)
{
  switch (options->command) {
  case BGFS_COMMAND_HELP: {
    g_autofree char *text = bgfs_options_help();
    fputs(text, stdout);
    return EXIT_SUCCESS;
  }
  case BGFS_COMMAND_VERSION:
    printf("blockgraphfs %s\n", PACKAGE_VERSION);
    return EXIT_SUCCESS;
  case BGFS_COMMAND_LIST_DRIVERS:
    bgfs_list_drivers();
    return EXIT_SUCCESS;
  case BGFS_COMMAND_DRIVER_HELP:
    return bgfs_driver_help(options->driver);
  case BGFS_COMMAND_QMP_MANUAL:
    bgfs_qmp_print_manual();
    return EXIT_SUCCESS;
  default:
    return mount(options);
  }
}

int main(int argc, char **argv)
{
  g_set_prgname("blockgraphfs");
  if (argc > 1 && strcmp(argv[1], "unmount") == 0)
    return bgfs_unmount(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "create") == 0)
    return bgfs_create(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "check") == 0)
    return bgfs_check(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "info") == 0)
    return bgfs_info(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "map") == 0)
    return bgfs_map(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "snapshot") == 0)
    return bgfs_snapshot(argc - 1, argv + 1);

  g_autoptr(GError) error = NULL;
  g_autoptr(BgfsOptions) options = bgfs_options_parse(argc, argv, &error);
  if (options)
    return run(options);
  fprintf(stderr, "blockgraphfs: %s\n", error->message);
  return EXIT_USAGE;
}
