#include "fs/temporary-overlay.h"

#include "fs/image.h"
#include "graph/create.h"

#include <glib/gstdio.h>

/* The image's size and format: a graph of its own, for a moment. */
static bool examine(const BgfsOptions *options, const char *filename, int64_t *size, char **format, GError **error)
{
  BgGraph *graph = bgfs_graph_new(options, NULL, NULL);
  g_autoptr(BgDict) dict = bgfs_image_dict(NULL, filename, options->format);
  bg_dict_set(dict, "node-name", "image");
  bg_dict_set(dict, "read-only", "on");
  if (options->key_secret)
    bg_dict_set(dict, "encrypt.key-secret", options->key_secret);
  BgNode *node = bg_graph_add(graph, dict, error);
  if (node) {
    *size = bg_node_size(node);
    *format = g_strdup(bg_node_driver(node)->name);
  }
  bool closed = bg_graph_close(graph, node ? error : NULL);
  if (!node || !closed)
    return false;
  if (*size >= 0)
    return true;
  bg_set_error_errno(error, -*size, "its size is unknown");
  return false;
}

static void add_backing(BgDict *overlay, BgDict *backing)
{
  const char *key;
  while ((key = bg_dict_first_key(backing))) {
    g_autofree char *below = g_strdup_printf("backing.%s", key);
    g_autofree char *value = bg_dict_take(backing, key);
    bg_dict_set(overlay, below, value);
  }
}

/* Nothing in the overlay outlives the mount: it is never flushed. */
static bool add_overlay(BgGraph *graph, const char *name, const char *overlay, BgDict *backing, GError **error)
{
  g_autoptr(BgDict) dict = bgfs_image_dict(name, overlay, "qcow2");
  bg_dict_set(dict, "auto-read-only", "on");
  bg_dict_set(dict, "cache.no-flush", "on");
  add_backing(dict, backing);
  return bg_graph_add(graph, dict, error) != NULL;
}

bool bgfs_temporary_overlay_add(BgGraph *graph, const BgfsOptions *options, const char *name, const char *filename,
                                GError **error)
{
  int64_t size;
  g_autofree char *format = NULL;
  if (!examine(options, filename, &size, &format, error))
    return false;
  g_autoptr(GError) failure = NULL;
  g_autofree char *directory = g_dir_make_tmp("blockgraphfs-XXXXXX", &failure);
  if (!directory) {
    bg_set_error(error, bg_error_errno(failure), "--snapshot: %s", failure->message);
    return false;
  }
  g_autofree char *overlay = g_build_filename(directory, "overlay.qcow2", NULL);
  g_autoptr(BgDict) backing = bgfs_image_dict(NULL, filename, format);
  bg_dict_set(backing, "read-only", "on");
  if (options->key_secret)
    bg_dict_set(backing, "encrypt.key-secret", options->key_secret);
  bool ok = bg_create_image("qcow2", overlay, size, NULL, NULL, NULL, NULL, error) &&
            add_overlay(graph, name, overlay, backing, error);
  g_unlink(overlay);
  g_rmdir(directory);
  return ok;
}
