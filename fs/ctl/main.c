/* blockgraphctl: commands to a mount that stands, over its control socket. */
#include "config.h"

#include "fs/ctl/command.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *help;
} commands[] = {
    {"tree", bgfs_ctl_tree, "draw the graph, with write states and their reasons"},
    {"add", bgfs_ctl_add, "add nodes: each is a new file in the mount"},
    {"del", bgfs_ctl_del, "take nodes away"},
    {"reopen", bgfs_ctl_reopen, "give nodes other options or children"},
    {"commit", bgfs_ctl_commit, "write what overlays hold into an image below"},
    {"stream", bgfs_ctl_stream, "fetch what images below hold into an overlay"},
    {"mirror", bgfs_ctl_mirror, "copy a disk and keep the copy the same"},
    {"backup", bgfs_ctl_backup, "copy a disk as it is now"},
    {"snapshot", bgfs_ctl_snapshot, "internal snapshots, and overlays"},
    {"jobs", bgfs_ctl_jobs, "list jobs; pause, resume, cancel … one"},
    {"watch", bgfs_ctl_watch, "print what happens as it happens"},
    {"unmount", bgfs_ctl_unmount, "unmount, and return when the images are released"},
};

static void print_help(void)
{
  puts("Usage:\n  blockgraphctl COMMAND [OPTION…] MOUNTPOINT [ARGUMENT…]\n\n"
       "Commands to a mount of blockgraphfs, which has to be mounted with --qmp unix:PATH for most of them.\n\n"
       "Commands:");
  for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
    printf("  %-10s %s\n", commands[i].name, commands[i].help);
  puts("\nOptions of all commands:\n"
       "  -s, --socket=PATH      the control socket; MOUNTPOINT, which tells it otherwise, is left out\n"
       "  -t, --timeout=SECONDS  how long to wait for each answer (default: 60)\n"
       "  --json                 print what is found out as JSON\n"
       "  -h, --help             print this text, or a command's own\n"
       "  --version              print the version\n\n"
       "MOUNTPOINT/NODE can be written for MOUNTPOINT NODE: blockgraphctl commit mnt/disk");
}

int main(int argc, char **argv)
{
  setlocale(LC_CTYPE, "");
  const char *name = argc > 1 ? argv[1] : "";
  for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
    if (strcmp(name, commands[i].name) == 0)
      return commands[i].run(argc - 1, argv + 1);
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
    print_help();
    return EXIT_SUCCESS;
  }
  if (strcmp(name, "--version") == 0) {
    printf("blockgraphctl %s\n", PACKAGE_VERSION);
    return EXIT_SUCCESS;
  }
  fprintf(stderr, "blockgraphctl: %s%s%s\n", *name ? "there is no command '" : "COMMAND is missing", name,
          *name ? "'" : "");
  return BGFS_CTL_USAGE;
}
