#include "fs/image.h"

#include "drivers/registry.h"

/* Not g_canonicalize_filename(): it takes "..", which may follow a link, out of the name. */
char *bgfs_absolute_path(const char *path)
{
  if (g_path_is_absolute(path))
    return g_strdup(path);
  g_autofree char *directory = g_get_current_dir();
  return g_build_filename(directory, path, NULL);
}

BgDict *bgfs_image_dict(const char *name, const char *filename, const char *format)
{
  BgDict *dict = bg_dict_new();
  if (name)
    bg_dict_set(dict, "node-name", name);
  if (format)
    bg_dict_set(dict, "driver", format);
  const BgDriver *driver = format ? bg_driver_find(format) : NULL;
  if (driver && driver->kind == BG_KIND_PROTOCOL) {
    bg_dict_set(dict, "filename", filename);
  } else {
    bg_dict_set(dict, "file.driver", "file");
    bg_dict_set(dict, "file.filename", filename);
  }
  bg_dict_set(dict, "discard", "unmap");
  return dict;
}

BgGraph *bgfs_graph_new(const BgfsOptions *options, const BgListener *listener, void *listener_data)
{
  g_autofree const char **allowed = g_new0(const char *, options->allowed->len + 1);
  for (guint i = 0; i < options->allowed->len; i++)
    allowed[i] = g_ptr_array_index(options->allowed, i);
  BgPolicy policy = {.trust_images = options->trust_images, .allowed = allowed, .secrets = options->secrets};
  return bg_graph_new(&policy, listener, listener_data);
}
