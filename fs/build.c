#include "fs/build.h"

#include "drivers/registry.h"
#include "fs/image.h"
#include "fs/path.h"
#include "fs/temporary-overlay.h"
#include "graph/blockdev.h"
#include "graph/name.h"

/* The filter takes the image's place and name. */
static BgDict *put_compress_on_top(BgDict *image)
{
  BgDict *filter = bg_dict_new();
  g_autofree char *name = bg_dict_take(image, "node-name");
  bg_dict_set(filter, "driver", "compress");
  bg_dict_set(filter, "node-name", name);
  bg_dict_set(filter, "discard", "unmap");
  const char *key;
  while ((key = bg_dict_first_key(image))) {
    g_autofree char *below = g_strdup_printf("file.%s", key);
    g_autofree char *value = bg_dict_take(image, key);
    bg_dict_set(filter, below, value);
  }
  return filter;
}

static bool add_image(BgGraph *graph, const BgfsOptions *options, GError **error)
{
  g_autofree char *filename = bgfs_absolute_path(options->image);
  g_autofree char *name = bg_driver_of_uri(filename) ? bg_name_from_uri(filename) : bg_name_from_file(filename);
  if (options->snapshot)
    return bgfs_temporary_overlay_add(graph, options, name, filename, error);
  g_autoptr(BgDict) image = bgfs_image_dict(name, filename, options->format);
  if (options->key_secret)
    bg_dict_set(image, "encrypt.key-secret", options->key_secret);
  g_autoptr(BgDict) dict = options->compress ? put_compress_on_top(image) : g_steal_pointer(&image);
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
