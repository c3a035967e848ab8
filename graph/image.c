#include "graph/image.h"

#include "drivers/registry.h"
#include "graph/escape.h"
#include "graph/probe.h"
#include "graph/user.h"

#include <errno.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

static const BgDriver *named_driver(const char *format, GError **error)
{
  const BgDriver *driver = bg_driver_find(format);
  if (driver && driver->kind == BG_KIND_FORMAT)
    return driver;
  g_autofree char *shown = bg_escape(format);
  bg_set_error(error, EINVAL, "There is no format '%s'", shown);
  return NULL;
}

const BgDriver *bg_image_driver(BgUser *storage, const char *format, GError **error)
{
  if (format)
    return named_driver(format, error);
  g_autofree uint8_t *head = g_malloc(BG_PROBE_HEAD);
  struct iovec iov = {head, BG_PROBE_HEAD};
  ssize_t length = bg_user_preadv(storage, &iov, 1, 0);
  if (length < 0) {
    bg_set_error_errno(error, (int)-length, "Cannot read");
    return NULL;
  }
  g_autoptr(GError) failure = NULL;
  const BgDriver *driver = bg_probe_format(head, (size_t)length, &failure);
  if (failure) {
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
  }
  return driver ? driver : named_driver("raw", error);
}

static bool has_backing(const BgDriver *driver)
{
  for (const BgChildSpec *spec = driver->children; spec && spec->name; spec++)
    if (strcmp(spec->name, "backing") == 0)
      return true;
  return false;
}

/* `how`: the option that is on for image and storage. */
static BgNode *open_image(BgGraph *graph, const char *filename, const char *format, const char *how, bool chain,
                          GError **error)
{
  g_autoptr(BgDict) below = bg_dict_new(), options = bg_dict_new();
  const BgDriver *protocol = bg_driver_of_uri(filename);
  bg_dict_set(below, "driver", protocol ? protocol->name : "file");
  bg_dict_set(below, "node-name", "storage");
  bg_dict_set(below, "filename", filename);
  bg_dict_set(below, "discard", "unmap");
  bg_dict_set(below, how, "on");
  BgNode *storage = bg_graph_add(graph, below, error);
  if (!storage)
    return NULL;
  const BgDriver *driver;
  {
    g_autoptr(BgUser) user = bg_user_new(storage, "image", BG_PERM_CONSISTENT_READ, BG_USER_READ_SHARED, error);
    driver = user ? bg_image_driver(user, format, error) : NULL;
  }
  if (!driver)
    return NULL;
  bg_dict_set(options, "driver", driver->name);
  bg_dict_set(options, "node-name", "image");
  bg_dict_set(options, "file", "storage");
  bg_dict_set(options, how, "on");
  if (!chain && has_backing(driver))
    bg_dict_set(options, "backing", "");
  return bg_graph_add(graph, options, error);
}

BgNode *bg_image_open(BgGraph *graph, const char *filename, const char *format, bool chain, GError **error)
{
  return open_image(graph, filename, format, "read-only", chain, error);
}

BgNode *bg_image_open_alone(BgGraph *graph, const char *filename, const char *format, GError **error)
{
  return open_image(graph, filename, format, "auto-read-only", false, error);
}
