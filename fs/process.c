#include "fs/process.h"

#include "drivers/error.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_NAMED = 8, REAPED_WAIT = 1000 /* ms */ };

/* Linux 6.15's answer to PIDFD_GET_INFO, up to the fields needed here; headers may be older. */
struct pidfd_exit_info {
  uint64_t mask;
  uint64_t cgroup;
  uint32_t ids[11];
  int32_t exit_code;
};
#define PIDFD_EXIT_INFO_MASK (UINT64_C(1) << 3)
#define PIDFD_GET_EXIT_INFO  _IOWR(0xFF, 11, struct pidfd_exit_info)

int bgfs_process_open(pid_t pid, GError **error)
{
  int descriptor = syscall(SYS_pidfd_open, pid, 0);
  if (descriptor < 0)
    bg_set_error_errno(error, errno, "process %d", (int)pid);
  return descriptor;
}

/* Only newer kernels tell the exit status of a process that is not our child, and only when its parent has taken note of its end. */
static bool ask_status(int descriptor, struct pidfd_exit_info *info)
{
  struct pollfd reaped = {descriptor, 0, 0};
  for (int wait = 0; wait <= REAPED_WAIT; wait += REAPED_WAIT) {
    poll(&reaped, 1, wait);
    *info = (struct pidfd_exit_info){.mask = PIDFD_EXIT_INFO_MASK};
    if (ioctl(descriptor, PIDFD_GET_EXIT_INFO, info) < 0)
      return false;
    if (info->mask & PIDFD_EXIT_INFO_MASK)
      return true;
  }
  return false;
}

static bool check_status(int descriptor, GError **error)
{
  struct pidfd_exit_info info;
  if (!ask_status(descriptor, &info) || info.exit_code == 0)
    return true;
  bg_set_error(error, EIO, "unmounted, but not all data could be written: see the system log");
  return false;
}

bool bgfs_process_wait(int descriptor, pid_t pid, unsigned seconds, GError **error)
{
  struct pollfd fd = {descriptor, POLLIN, 0};
  int result = poll(&fd, 1, seconds * 1000);
  if (result == 1)
    return check_status(descriptor, error);
  if (result < 0)
    bg_set_error_errno(error, errno, "cannot wait for process %d", (int)pid);
  else
    bg_set_error(error, ETIMEDOUT,
                 "unmounted, but process %d still holds the images after %u s (files that were open still are)",
                 (int)pid, seconds);
  return false;
}

static bool points_below(const char *link, const char *path)
{
  g_autofree char *target = g_file_read_link(link, NULL);
  size_t length = strlen(path);
  return target && strncmp(target, path, length) == 0 && (target[length] == '/' || target[length] == '\0');
}

static bool uses(const char *process, const char *path)
{
  static const char *const links[] = {"cwd", "root", "exe"};
  for (size_t i = 0; i < G_N_ELEMENTS(links); i++) {
    g_autofree char *link = g_build_filename(process, links[i], NULL);
    if (points_below(link, path))
      return true;
  }
  g_autofree char *files = g_build_filename(process, "fd", NULL);
  g_autoptr(GDir) directory = g_dir_open(files, 0, NULL);
  for (const char *name; directory && (name = g_dir_read_name(directory));) {
    g_autofree char *link = g_build_filename(files, name, NULL);
    if (points_below(link, path))
      return true;
  }
  return false;
}

char *bgfs_process_users(const char *path)
{
  GString *users = g_string_new(NULL);
  unsigned count = 0;
  g_autoptr(GDir) directory = g_dir_open("/proc", 0, NULL);
  for (const char *name; directory && count < MAX_NAMED && (name = g_dir_read_name(directory));) {
    g_autofree char *process = g_build_filename("/proc", name, NULL);
    if (!isdigit((unsigned char)*name) || atoi(name) == getpid() || !uses(process, path))
      continue;
    g_autofree char *file = g_build_filename(process, "comm", NULL);
    g_autofree char *command = NULL;
    g_file_get_contents(file, &command, NULL, NULL);
    g_string_append_printf(users, "%s%s (%s)", count++ ? ", " : "", command ? g_strchomp(command) : "process", name);
  }
  return g_string_free(users, FALSE);
}

static bool has_kill(const char *status, const char *field)
{
  const char *found = strstr(status, field);
  return found && g_ascii_strtoull(found + strlen(field), NULL, 16) & (UINT64_C(1) << (SIGKILL - 1));
}

/* PF_EXITING, among the flags behind the name, which may hold anything. */
static bool is_exiting(const char *thread)
{
  g_autofree char *name = g_strdup_printf("/proc/%s/stat", thread);
  g_autofree char *stat = NULL;
  unsigned flags = 0;
  const char *end = g_file_get_contents(name, &stat, NULL, NULL) ? strrchr(stat, ')') : NULL;
  return end && sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && flags & 4;
}

/* The kernel turns every signal that simply ends a process into SIGKILL for each of its threads. A thread may go while its process stays, and others wait
 * for what it asked for. */
bool bgfs_process_is_dying(pid_t thread)
{
  g_autofree char *name = g_strdup_printf("/proc/%d/status", (int)thread);
  g_autofree char *number = g_strdup_printf("%d", (int)thread);
  g_autofree char *status = NULL;
  if (thread <= 0 || !g_file_get_contents(name, &status, NULL, NULL))
    return false;
  if (has_kill(status, "\nSigPnd:") || has_kill(status, "\nShdPnd:"))
    return true;
  const char *group = strstr(status, "\nTgid:");
  g_autofree char *process = group ? g_strdup_printf("%d", atoi(group + strlen("\nTgid:"))) : NULL;
  return process && is_exiting(number) && is_exiting(process);
}
