#include "fs/qmp/socket.h"

#include "drivers/error.h"
#include "fs/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64, LOCK_TRIES = 100, LOCK_INTERVAL = 20 /* ms */ };

/* ── the option ── */

static bool is_default(const char *setting)
{
  static const char *const settings[] = {"server=on", "server=yes", "server",       "wait=off",
                                         "wait=no",   "nowait",     "abstract=off", NULL};
  return g_strv_contains(settings, setting);
}

char *bgfs_qmp_socket_path(const char *text, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(text, ",", -1);
  if (!parts[0] || !g_str_has_prefix(parts[0], "unix:") || !parts[0][strlen("unix:")]) {
    bg_set_error(error, EINVAL, "'%s' names no socket: unix:PATH is expected", text);
    return NULL;
  }
  for (char **setting = parts + 1; *setting; setting++) {
    if (!is_default(*setting)) {
      bg_set_error(error, EINVAL, "'%s' is not supported (server=on and wait=off are what there is)", *setting);
      return NULL;
    }
  }
  return bgfs_absolute_path(parts[0] + strlen("unix:"));
}

/* ── making it ── */

static bool set_address(struct sockaddr_un *address, const char *path, GError **error)
{
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (strlen(path) < sizeof(address->sun_path)) {
    memcpy(address->sun_path, path, strlen(path) + 1);
    return true;
  }
  bg_set_error(error, ENAMETOOLONG, "'%s' is longer than the %zu bytes that a socket's name can have", path,
               sizeof(address->sun_path) - 1);
  return false;
}

/* Whether somebody listens there: 0, or -ECONNREFUSED if nobody does any more, or why it cannot be told. */
static int try_connect(const struct sockaddr_un *address)
{
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  int result = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
  close(fd);
  return result == -EAGAIN ? 0 : result;
}

/* Takes a socket away that a process left behind. Nothing there is fine. */
static bool clear_place(const struct sockaddr_un *address, GError **error)
{
  struct stat st;
  if (lstat(address->sun_path, &st) < 0 && errno == ENOENT)
    return true;
  if (!S_ISSOCK(st.st_mode)) {
    bg_set_error(error, EEXIST, "'%s' exists and is no socket", address->sun_path);
    return false;
  }
  int result = try_connect(address);
  if (result == -ECONNREFUSED && unlink(address->sun_path) < 0)
    result = -errno;
  else if (result == -ECONNREFUSED)
    return true;
  if (result == 0)
    bg_set_error(error, EADDRINUSE, "'%s' is in use by another process", address->sun_path);
  else
    bg_set_error_errno(error, -result, "'%s'", address->sun_path);
  return false;
}

/* The mode of the socket itself is that of the file: so it is never, not for a moment, open to others. */
static bool bind_here(BgfsQmpSocket *made, const struct sockaddr_un *address, GError **error)
{
  struct stat st;
  made->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made->fd >= 0 && fchmod(made->fd, S_IRUSR | S_IWUSR) == 0 &&
      bind(made->fd, (const struct sockaddr *)address, sizeof(*address)) == 0) {
    if (lstat(address->sun_path, &st) == 0 && listen(made->fd, BACKLOG) == 0) {
      made->path = g_strdup(address->sun_path);
      made->device = st.st_dev;
      made->inode = st.st_ino;
      return true;
    }
    unlink(address->sun_path);
  }
  bg_set_error_errno(error, errno, "'%s'", address->sun_path);
  if (made->fd >= 0)
    close(made->fd);
  made->fd = -1;
  return false;
}

/* Keeps others of our kind from looking at the place at the same time. A descriptor to close; -1: errno. */
static int lock_directory(const char *path)
{
  g_autofree char *directory = g_path_get_dirname(path);
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
    if (errno != EWOULDBLOCK || i == LOCK_TRIES) {
      int saved = errno;
      close(fd);
      errno = saved;
      return -1;
    }
    g_usleep(LOCK_INTERVAL * 1000);
  }
  return fd;
}

bool bgfs_qmp_socket_open(BgfsQmpSocket *made, const char *path, GError **error)
{
  struct sockaddr_un address;
  *made = (BgfsQmpSocket){.fd = -1};
  if (!set_address(&address, path, error))
    return false;
  int lock = lock_directory(path);
  if (lock < 0) {
    bg_set_error_errno(error, errno, "cannot lock the directory of '%s'", path);
    return false;
  }
  bool done = clear_place(&address, error) && bind_here(made, &address, error);
  close(lock);
  return done;
}

void bgfs_qmp_socket_close(BgfsQmpSocket *made)
{
  struct stat st;
  if (made->fd < 0)
    return;
  if (lstat(made->path, &st) == 0 && st.st_dev == made->device && st.st_ino == made->inode)
    unlink(made->path);
  close(made->fd);
  made->fd = -1;
  g_clear_pointer(&made->path, g_free);
}

bool bgfs_qmp_socket_admits(int connection)
{
  struct ucred peer;
  socklen_t length = sizeof(peer);
  return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         (peer.uid == 0 || peer.uid == geteuid());
}
