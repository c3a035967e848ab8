#include "fs/build.h"

#include "drivers/registry.h"
#include "fs/snapshot.h"
#include "graph/blockdev.h"
#include "graph/name.h"

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
  BgPolicy policy = {.trust_images = options->trust_images, .allowed = allowed};
  return bg_graph_new(&policy, listener, listener_data);
}

static bool add_image(BgGraph *graph, const BgfsOptions *options, GError **error)
{
  g_autofree char *filename = bgfs_absolute_path(options->image);
  g_autofree char *name = bg_name_from_file(filename);
  if (options->snapshot)
    return bgfs_snapshot_add(graph, options, name, filename, error);
  g_autoptr(BgDict) dict = bgfs_image_dict(name, filename, options->format);
  bg_dict_set(dict, options->read_only ? "read-only" : "auto-read-only", "on");
  return bg_graph_add(graph, dict, error) != NULL;
}

static bool add_blockdev(BgGraph *graph, const char *text, bool read_only, GError **error)
{
  g_autoptr(BgDict) dict = bg_blockdev_parse(text, error);
  if (!dict) {
    g_prefix_error(error, "--blockdev: ");
    return false;
  }
  if (read_only)
    bg_dict_set_default(dict, "read-only", "on");
  return bg_graph_add(graph, dict, error) != NULL;
}

bool bgfs_build(BgGraph *graph, const BgfsOptions *options, GError **error)
{
  if (options->image) {
    bool ok = add_image(graph, options, error);
    if (!ok)
      g_prefix_error(error, "%s: ", options->image);
    return ok;
  }
  for (guint i = 0; i < options->blockdevs->len; i++) {
    if (!add_blockdev(graph, g_ptr_array_index(options->blockdevs, i), options->read_only, error))
      return false;
  }
  return true;
}
