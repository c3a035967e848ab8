#include "fs/mountpoint.h"

#include "drivers/registry.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { MAX_LOOPS = 16 }; /* loop devices on each other */

static void set_error(GError **error, int err, const char *path)
{
  if (err == ENOTCONN)
    bg_set_error(error, err,
                 "mountpoint '%s': a mount whose process has died is still there (blockgraphfs unmount, or umount)",
                 path);
  else
    bg_set_error_errno(error, err, "mountpoint '%s'", path);
}

static bool is_empty(const char *path, GError **error)
{
  DIR *directory = opendir(path);
  if (!directory) {
    set_error(error, errno, path);
    return false;
  }
  bool empty = true;
  for (struct dirent *entry; empty && (entry = readdir(directory));)
    empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
  closedir(directory);
  if (!empty)
    bg_set_error(error, ENOTEMPTY, "mountpoint '%s': the directory is not empty", path);
  return empty;
}

/* Compares directories, not names: the same one can have several. */
static bool lies_inside(const char *filename, const struct stat *directory)
{
  g_autofree char *path = g_strdup(filename);
  struct stat st;
  while (strcmp(path, "/") != 0 && strcmp(path, ".") != 0) {
    char *parent = g_path_get_dirname(path);
    g_free(path);
    path = parent;
    if (stat(path, &st) == 0 && st.st_dev == directory->st_dev && st.st_ino == directory->st_ino)
      return true;
  }
  return false;
}

/* The file behind a loop device; NULL for anything else. */
static char *loop_backing(const char *filename)
{
  struct stat st;
  if (stat(filename, &st) < 0 || !S_ISBLK(st.st_mode))
    return NULL;
  g_autofree char *attribute =
      g_strdup_printf("/sys/dev/block/%u:%u/loop/backing_file", major(st.st_rdev), minor(st.st_rdev));
  char *backing = NULL;
  if (g_file_get_contents(attribute, &backing, NULL, NULL))
    g_strchomp(backing);
  return backing;
}

bool bgfs_mountpoint_check_file(const char *mountpoint, const char *filename, GError **error)
{
  struct stat directory;
  if (bg_driver_of_uri(filename))
    return true;
  if (stat(mountpoint, &directory) < 0) {
    bg_set_error_errno(error, errno, "mountpoint '%s'", mountpoint);
    return false;
  }
  g_autofree char *current = g_strdup(filename);
  for (int i = 0; current && i < MAX_LOOPS; i++) {
    char *real = realpath(current, NULL);
    bool inside = lies_inside(real ? real : current, &directory);
    free(real);
    if (inside) {
      bg_set_error(error, EINVAL, "image '%s' lies inside the mountpoint '%s'", filename, mountpoint);
      return false;
    }
    char *below = loop_backing(current);
    g_free(current);
    current = below;
  }
  return true;
}

char *bgfs_mountpoint_check(const char *path, const char *image, GError **error)
{
  struct stat st;
  g_autofree char *resolved = NULL;
  char *real = realpath(path, NULL);
  if (!real || stat(real, &st) < 0) {
    int err = errno;
    free(real);
    set_error(error, err, path);
    return NULL;
  }
  resolved = g_strdup(real);
  free(real);
  if (!S_ISDIR(st.st_mode)) {
    bg_set_error(error, ENOTDIR, "mountpoint '%s': not a directory", path);
    return NULL;
  }
  if (image && !bgfs_mountpoint_check_file(resolved, image, error))
    return NULL;
  return is_empty(path, error) ? g_steal_pointer(&resolved) : NULL;
}
