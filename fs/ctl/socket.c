#include "fs/ctl/socket.h"

#include "drivers/error.h"
#include "fs/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* A file that is made when it is read: its size beforehand says nothing. */
static char *read_all(int fd, size_t most, GError **error)
{
  GByteArray *bytes = g_byte_array_new();
  guint8 piece[16 * 1024];
  ssize_t got;
  while ((got = read(fd, piece, sizeof piece)) > 0 && bytes->len + (size_t)got <= most)
    g_byte_array_append(bytes, piece, (guint)got);
  if (got == 0) {
    g_byte_array_append(bytes, (const guint8 *)"", 1);
    return (char *)g_byte_array_free(bytes, FALSE);
  }
  bg_set_error_errno(error, got < 0 ? errno : EFBIG, "cannot be read");
  g_byte_array_unref(bytes);
  return NULL;
}

static void explain(int err, GError **error)
{
  if (err == ENOTCONN)
    bg_set_error(error, err, "the process that served this mount is dead: blockgraphctl unmount takes it away");
  else if (err == EACCES)
    bg_set_error(error, err,
                 "this is another user's mount, which is closed to you: name the control socket by --socket");
  else
    bg_set_error_errno(error, err, "cannot look into the mount");
}

char *bgfs_ctl_graph_file(const char *mountpoint, const char *name, size_t most, GError **error)
{
  g_auto(BgfsMounted) mounted = {0};
  if (!bgfs_mounted_find(mountpoint, &mounted, error))
    return NULL;
  g_autofree char *path = g_build_filename(mounted.path, ".graph", name, NULL);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    explain(errno, error);
    return NULL;
  }
  char *text = read_all(fd, most, error);
  close(fd);
  return text;
}

char *bgfs_ctl_socket_of(const char *mountpoint, GError **error)
{
  g_autoptr(GError) failure = NULL;
  g_autofree char *path = bgfs_ctl_graph_file(mountpoint, "qmp", PATH_MAX, &failure);
  if (path && g_str_has_suffix(path, "\n"))
    path[strlen(path) - 1] = '\0';
  if (path && *path)
    return g_steal_pointer(&path);
  if (!failure)
    bg_set_error(error, ENOTSUP, "the mount has no control socket: mount it with --qmp unix:PATH");
  else
    g_propagate_error(error, g_steal_pointer(&failure));
  return NULL;
}
