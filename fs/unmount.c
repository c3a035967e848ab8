#include "fs/unmount.h"

#include "drivers/error.h"
#include "fs/mounted.h"
#include "fs/process.h"

#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { ASK_TIMEOUT = 5 /* seconds */ };

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
