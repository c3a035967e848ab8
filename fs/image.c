#include "fs/image.h"

#include "drivers/registry.h"

BgDict *bgfs_image_dict(const char *name, const char *filename, const char *format)
{
  BgDict *dict = bg_dict_new();
  if (name)
    bg_dict_set(dict, "node-name", name);
  if (format)
    bg_dict_set(dict, "driver", format);
  const BgDriver *driver = format ? bg_driver_find(format) : NULL;
  const BgDriver *protocol = bg_driver_of_uri(filename);
  if (driver && driver->kind == BG_KIND_PROTOCOL) {
    bg_dict_set(dict, "filename", filename);
  } else {
    bg_dict_set(dict, "file.driver", protocol ? protocol->name : "file");
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
