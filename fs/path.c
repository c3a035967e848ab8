#include "fs/path.h"

#include "drivers/registry.h"

/* Not g_canonicalize_filename(): it takes "..", which may follow a link, out of the name. */
char *bgfs_absolute_path(const char *path)
{
  if (g_path_is_absolute(path) || bg_driver_of_uri(path))
    return g_strdup(path);
  g_autofree char *directory = g_get_current_dir();
  return g_build_filename(directory, path, NULL);
}
