#include "fs/unmount.h"

#include "fs/ctl/command.h"
#include "fs/process.h"

#include <stdlib.h>
#include <unistd.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl unmount",
    .operands = "MOUNTPOINT",
    .summary = "Unmounts, and returns when the images and their locks are released, after --timeout at most. The exit "
               "status is "
               "1 if not all data could be written. With --socket, files that are open do not stand in the way, but "
               "are waited for.",
};

/* Over the control socket: the daemon ends as it does on a signal. */
static bool quit(BgfsCtl *ctl, GError **error)
{
  if (!bgfs_ctl_connect(ctl, error))
    return false;
  pid_t pid = bgfs_ctl_client_peer(ctl->client);
  int process = pid > 0 ? bgfs_process_open(pid, error) : -1;
  if (pid > 0 && process < 0)
    return false;
  bool ended = bgfs_ctl_client_do(ctl->client, "quit", NULL, error) &&
               (process < 0 || bgfs_process_wait(process, pid, (unsigned)ctl->timeout, error));
  if (process >= 0)
    close(process);
  return ended;
}

int bgfs_ctl_unmount(int argc, char **argv)
{
  g_auto(BgfsCtl) ctl = {0};
  gboolean lazy = FALSE;
  const GOptionEntry entries[] = {
      {"lazy", 'l', 0, G_OPTION_ARG_NONE, &lazy, "Take a busy mount away at once, then wait for its open files", NULL},
      {NULL},
  };
  GError *error = NULL;
  int status;
  if (!bgfs_ctl_parse(&ctl, &command, entries, argc, argv, &status))
    return status;
  bool done =
      ctl.socket ? quit(&ctl, &error) : bgfs_unmount_and_wait(ctl.mountpoint, lazy, (unsigned)ctl.timeout, &error);
  return done ? EXIT_SUCCESS : bgfs_ctl_fail(&ctl, bgfs_ctl_place(&ctl), error);
}
