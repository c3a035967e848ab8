#include "fs/path.h"

#include <glib.h>

/* Not g_canonicalize_filename(): it takes "..", which may follow a link, out of the name. */
char *bgfs_absolute_path(const char *path)
{
  if (g_path_is_absolute(path))
    return g_strdup(path);
  g_autofree char *directory = g_get_current_dir();
  return g_build_filename(directory, path, NULL);
}
