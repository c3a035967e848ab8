#include "fs/mounted.h"

#include "drivers/error.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TYPE "fuse.blockgraphfs"

/* mountinfo's fields: id parent major:minor root MOUNTPOINT options [tags…] - TYPE source options; octal escapes in names. */
char *bgfs_mounted_type(const char *mountinfo, const char *path)
{
  g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
  char *type = NULL;
  for (char **line = lines; *line; line++) {
    g_auto(GStrv) fields = g_strsplit(*line, " ", -1);
    if (g_strv_length(fields) < 7)
      continue;
    g_autofree char *mountpoint = g_strcompress(fields[4]);
    if (strcmp(mountpoint, path) != 0)
      continue;
    char **field = fields + 6;
    while (*field && strcmp(*field, "-") != 0)
      field++;
    g_free(type);
    type = g_strdup(*field && field[1] ? field[1] : "");
  }
  return type;
}

/* Absolute, links resolved, without a look at what is mounted there: its parent is resolved, which another daemon serves if any. */
static char *resolve(const char *path)
{
  g_autofree char *trimmed = g_strdup(path);
  for (size_t length = strlen(trimmed); length > 1 && trimmed[length - 1] == '/'; length--)
    trimmed[length - 1] = '\0';
  g_autofree char *name = g_path_get_basename(trimmed);
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "/") == 0 ||
      g_file_test(trimmed, G_FILE_TEST_IS_SYMLINK)) {
    char *real = realpath(trimmed, NULL);
    char *copy = g_strdup(real);
    free(real);
    return copy;
  }
  g_autofree char *directory = g_path_get_dirname(trimmed);
  char *real = realpath(directory, NULL);
  char *resolved = real ? g_build_filename(real, name, NULL) : NULL;
  free(real);
  return resolved;
}

char *bgfs_mounted_find(const char *path, GError **error)
{
  g_autofree char *resolved = resolve(path);
  if (!resolved) {
    bg_set_error(error, errno, "%s", g_strerror(errno));
    return NULL;
  }
  g_autofree char *mountinfo = NULL;
  if (!g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, error))
    return NULL;
  g_autofree char *type = bgfs_mounted_type(mountinfo, resolved);
  if (!type) {
    bg_set_error(error, EINVAL, "nothing is mounted here");
    return NULL;
  }
  if (strcmp(type, TYPE) != 0) {
    bg_set_error(error, EINVAL, "what is mounted here is of type %s, not " TYPE, type);
    return NULL;
  }
  return g_steal_pointer(&resolved);
}

/* In a process of its own, so that a daemon that does not answer can be given up. */
static _Noreturn void ask(int answer, const char *mountpoint)
{
  char text[16] = "";
  ssize_t length = getxattr(mountpoint, "user.blockgraph.pid", text, sizeof(text) - 1);
  int status = length > 0 && write(answer, text, length) == length ? 0 : errno;
  _exit(status);
}

pid_t bgfs_mounted_pid(const char *mountpoint, unsigned seconds, GError **error)
{
  int ends[2];
  pid_t child;
  if (pipe(ends) < 0 || (child = fork()) < 0) {
    bg_set_error_errno(error, errno, "cannot start a process");
    return -1;
  }
  if (child == 0)
    ask(ends[1], mountpoint);
  close(ends[1]);

  char text[16] = "";
  struct pollfd poll_fd = {ends[0], POLLIN, 0};
  ssize_t got = poll(&poll_fd, 1, seconds * 1000) == 1 ? read(ends[0], text, sizeof(text) - 1) : -1;
  close(ends[0]);
  int status = 0;
  kill(child, SIGKILL);
  if (got >= 0)
    waitpid(child, &status, 0);
  pid_t pid = got > 0 ? atoi(text) : 0;
  if (pid > 0)
    return pid;
  if (got < 0)
    bg_set_error(error, ETIMEDOUT, "its process has not answered for %u s", seconds);
  else
    bg_set_error_errno(error, WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EIO,
                       "its process cannot be asked");
  return -1;
}
