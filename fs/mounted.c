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

void bgfs_mounted_clear(BgfsMounted *mounted)
{
  g_free(mounted->path);
  g_free(mounted->type);
}

/* The number behind `name` in a list of mount options; 0 if it is not there. */
static unsigned option_number(const char *options, const char *name)
{
  const char *found = strstr(options, name);
  return found ? strtoul(found + strlen(name), NULL, 10) : 0;
}

/* Fields: id parent major:minor root MOUNTPOINT options [tags…] - TYPE source OPTIONS; octal escapes in names. */
static bool parse_line(const char *line, const char *path, BgfsMounted *mounted)
{
  g_auto(GStrv) fields = g_strsplit(line, " ", -1);
  if (g_strv_length(fields) < 10)
    return false;
  g_autofree char *mountpoint = g_strcompress(fields[4]);
  if (strcmp(mountpoint, path) != 0)
    return false;
  char **field = fields + 6;
  while (*field && strcmp(*field, "-") != 0)
    field++;
  if (g_strv_length(field) < 4)
    return false;
  bgfs_mounted_clear(mounted);
  *mounted = (BgfsMounted){g_steal_pointer(&mountpoint), g_strdup(field[1]), option_number(field[3], "user_id="),
                           option_number(field[3], "group_id=")};
  return true;
}

bool bgfs_mounted_parse(const char *mountinfo, const char *path, BgfsMounted *mounted)
{
  g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
  bool found = false;
  for (char **line = lines; *line; line++)
    found |= parse_line(*line, path, mounted);
  return found;
}

/* Absolute, links resolved, without a look at what is mounted there: its parent is resolved, which another daemon
 * serves if any. */
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

bool bgfs_mounted_find(const char *path, BgfsMounted *mounted, GError **error)
{
  g_autofree char *resolved = resolve(path);
  if (!resolved) {
    bg_set_error(error, errno, "%s", g_strerror(errno));
    return false;
  }
  g_autofree char *mountinfo = NULL;
  if (!g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, error))
    return false;
  if (!bgfs_mounted_parse(mountinfo, resolved, mounted)) {
    bg_set_error(error, EINVAL, "nothing is mounted here");
    return false;
  }
  if (strcmp(mounted->type, TYPE) != 0) {
    bg_set_error(error, EINVAL, "what is mounted here is of type %s, not " TYPE, mounted->type);
    return false;
  }
  return true;
}

/* In a process of its own, so that a daemon that does not answer can be given up. Not even root sees into a user's
 * mount, so it goes as that user. The exit status is an errno. */
static _Noreturn void ask(int answer, const BgfsMounted *mounted)
{
  if (geteuid() == 0 && mounted->uid != 0 &&
      (setresgid(mounted->gid, mounted->gid, mounted->gid) < 0 ||
       setresuid(mounted->uid, mounted->uid, mounted->uid) < 0))
    _exit(errno);
  char text[16] = "";
  ssize_t length = getxattr(mounted->path, "user.blockgraph.pid", text, sizeof(text) - 1);
  _exit(length > 0 && write(answer, text, length) == length ? 0 : errno);
}

pid_t bgfs_mounted_pid(const BgfsMounted *mounted, unsigned seconds, GError **error)
{
  int ends[2];
  pid_t child;
  if (pipe(ends) < 0 || (child = fork()) < 0) {
    bg_set_error_errno(error, errno, "cannot start a process");
    return -1;
  }
  if (child == 0)
    ask(ends[1], mounted);
  close(ends[1]);

  char text[16] = "";
  struct pollfd poll_fd = {ends[0], POLLIN, 0};
  if (poll(&poll_fd, 1, seconds * 1000) != 1) {
    kill(child, SIGKILL); /* not waited for: it may be stuck */
    close(ends[0]);
    bg_set_error(error, ETIMEDOUT, "its process has not answered for %u s", seconds);
    return -1;
  }
  ssize_t got = read(ends[0], text, sizeof(text) - 1);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  int err = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
  if (err == ENOTCONN)
    return 0;
  pid_t pid = got > 0 ? atoi(text) : 0;
  if (pid > 0)
    return pid;
  bg_set_error_errno(error, err ? err : EIO, "its process cannot be asked");
  return -1;
}
