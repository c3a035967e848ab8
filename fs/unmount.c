#include "fs/unmount.h"

#include "drivers/error.h"
#include "fs/mounted.h"
#include "fs/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, DEFAULT_TIMEOUT = 60, ASK_TIMEOUT = 5 /* seconds */ };

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

static bool unmount_with_helper(const char *mountpoint, bool lazy, GError **error)
{
  const char *argv[] = {"fusermount3", "-u", lazy ? "-z" : "--", lazy ? "--" : mountpoint, lazy ? mountpoint : NULL,
                        NULL};
  g_autofree char *said = NULL;
  int status;
  if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                    &said, &status, error))
    return false;
  if (g_spawn_check_wait_status(status, NULL))
    return true;
  g_strchomp(said);
  bg_set_error(error, strstr(said, "busy") ? EBUSY : EPERM, "%s", *said ? said : "fusermount3 failed");
  return false;
}

static bool take_away(const char *mountpoint, bool lazy, GError **error)
{
  if (umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
    return true;
  if (errno == EPERM)
    return unmount_with_helper(mountpoint, lazy, error);
  bg_set_error_errno(error, errno, "cannot unmount");
  return false;
}

static void add_users(GError **error, const char *mountpoint)
{
  g_autofree char *users = bgfs_process_users(mountpoint);
  if (*users)
    g_prefix_error(error, "in use by %s: ", users);
}

/* `process`: -1 for a mount whose process is dead. */
static bool unmount_and_wait(const char *mountpoint, bool lazy, unsigned timeout, pid_t pid, int process,
                             GError **error)
{
  if (take_away(mountpoint, lazy, error))
    return process < 0 || bgfs_process_wait(process, pid, timeout, error);
  if (error && bg_error_errno(*error) == EBUSY)
    add_users(error, mountpoint);
  return false;
}

bool bgfs_unmount_and_wait(const char *path, bool lazy, unsigned timeout, GError **error)
{
  g_auto(BgfsMounted) mounted = {0};
  if (!bgfs_mounted_find(path, &mounted, error))
    return false;
  pid_t pid = bgfs_mounted_pid(&mounted, ASK_TIMEOUT, error);
  if (pid < 0)
    return false;
  int process = -1;
  if (pid > 0) {
    process = bgfs_process_open(pid, error);
    if (process < 0)
      return false;
  }
  bool ok = unmount_and_wait(mounted.path, lazy, timeout, pid, process, error);
  if (process >= 0)
    close(process);
  return ok;
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
