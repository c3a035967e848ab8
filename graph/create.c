#include "graph/create.h"

#include "drivers/registry.h"
#include "graph/escape.h"
#include "graph/reference.h"
#include "graph/user-child.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void graph_drop(BgGraph *graph)
{
  if (graph)
    bg_graph_close(graph, NULL);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgGraph, graph_drop)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

/* The typed create options of one driver. */
typedef struct Options {
  const BgOption *table;
  void *values;
} Options;

static void options_clear(Options *options)
{
  if (options->values)
    bg_options_clear(options->table, options->values);
  g_free(options->values);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static bool options_parse(Options *options, const BgDriver *driver, BgDict *dict, GError **error)
{
  options->table = driver->create_options;
  options->values = g_malloc0(MAX(driver->create_options_size, 1));
  if (!bg_options_parse(options->table, dict, options->values, error))
    return false;
  const char *unknown = bg_dict_first_key(dict);
  if (!unknown)
    return true;
  g_autofree char *shown = bg_escape(unknown);
  bg_set_error(error, EINVAL, "Creating a %s image knows no option '%s'", driver->name, shown);
  return false;
}

/* ── which driver ── */

static bool has_backing(const BgDriver *driver)
{
  for (const BgChildSpec *spec = driver->children; spec && spec->name; spec++)
    if (strcmp(spec->name, "backing") == 0)
      return true;
  return false;
}

static const BgDriver *find_format(const char *name, GError **error)
{
  const BgDriver *driver = bg_driver_find(name);
  if (driver && driver->kind == BG_KIND_FORMAT)
    return driver;
  g_autofree char *shown = bg_escape(name);
  bg_set_error(error, EINVAL, "There is no format '%s'", shown);
  return NULL;
}

static const BgDriver *find_creator(const char *name, const char *backing, GError **error)
{
  const BgDriver *driver = find_format(name, error);
  if (!driver)
    return NULL;
  if (driver->create && (!backing || has_backing(driver)))
    return driver;
  bg_set_error(error, ENOTSUP, "Images of the format %s cannot %s", driver->name,
               driver->create ? "have a backing file" : "be created");
  return NULL;
}

/* ── the backing disk ── */

static BgGraph *new_graph(void)
{
  static const BgPolicy nothing_by_itself = {.without_keys = true};
  return bg_graph_new(&nothing_by_itself, NULL, NULL);
}

/* Only the named image is opened, not what it stands on in turn: the size is its own. */
static BgNode *open_backing(BgGraph *graph, const BgDriver *format, const char *filename, GError **error)
{
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "driver", format->name);
  bg_dict_set(options, "file.driver", "file");
  bg_dict_set(options, "file.filename", filename);
  bg_dict_set(options, "read-only", "on");
  if (has_backing(format))
    bg_dict_set(options, "backing", "");
  return bg_graph_add(graph, options, error);
}

static bool measure_backing(const char *format, const char *filename, uint64_t *size, GError **error)
{
  const BgDriver *driver = find_format(format, error);
  g_autoptr(BgGraph) graph = driver ? new_graph() : NULL;
  BgNode *node = driver ? open_backing(graph, driver, filename, error) : NULL;
  if (!node)
    return false;
  int64_t found = bg_node_size(node);
  if (found < 0) {
    bg_set_error_errno(error, (int)-found, "The size of '%s' is not known", filename);
    return false;
  }
  *size = (uint64_t)found;
  return true;
}

/* Opens the backing image where the new image will look for it, and takes its size where none was given. */
static bool check_backing(const char *image, const char *backing, const char *format, uint64_t *size, GError **error)
{
  if (bg_reference_has_protocol(backing)) {
    g_autofree char *shown = bg_escape(backing);
    bg_set_error(error, EPROTONOSUPPORT,
                 "'%s' would be taken for a protocol: only files can be backing files (./ in front helps)", shown);
    return false;
  }
  g_autofree char *directory = g_path_get_dirname(image);
  g_autofree char *filename =
      g_path_is_absolute(backing) ? g_strdup(backing) : g_build_filename(directory, backing, NULL);
  uint64_t found;
  if (!measure_backing(format, filename, &found, error)) {
    g_prefix_error(error, "backing file: ");
    return false;
  }
  if (*size == UINT64_MAX)
    *size = found;
  return true;
}

/* ── the image ── */

static bool create_storage(const char *filename, GError **error)
{
  const BgDriver *driver = bg_driver_find("file");
  if (!driver || !driver->create) {
    bg_set_error(error, ENOTSUP, "Files cannot be created: the driver 'file' was not built in");
    return false;
  }
  g_autoptr(BgDict) dict = bg_dict_new();
  g_auto(Options) options = {0};
  bg_dict_set(dict, "filename", filename);
  if (!options_parse(&options, driver, dict, error))
    return false;
  return driver->create(&(BgCreate){.options = options.values}, error);
}

static BgNode *open_storage(BgGraph *graph, const char *filename, GError **error)
{
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "driver", "file");
  bg_dict_set(options, "filename", filename);
  bg_dict_set(options, "discard", "unmap");
  return bg_graph_add(graph, options, error);
}

/* Runs the format's create on the storage and makes it durable. */
static bool write_image(BgNode *storage, const BgDriver *driver, BgCreate *create, GError **error)
{
  BgPerm perm = BG_PERM_CONSISTENT_READ | BG_PERM_WRITE | BG_PERM_RESIZE;
  g_autoptr(BgUser) user = bg_user_new(storage, "image creation", perm, BG_PERM_CONSISTENT_READ, error);
  if (!user)
    return false;
  BgUserChild file;
  bg_user_child_init(&file, "file", BG_ROLE_PRIMARY | BG_ROLE_DATA | BG_ROLE_METADATA, user);
  create->file = &file.child;
  if (!driver->create(create, error))
    return false;
  int result = bg_user_flush(user);
  if (result)
    bg_set_error_errno(error, -result, "Cannot write it out");
  return result == 0;
}

static bool fill_storage(const char *filename, const BgDriver *driver, BgCreate *create, GError **error)
{
  BgGraph *graph = new_graph();
  BgNode *storage = open_storage(graph, filename, error);
  bool written = storage && write_image(storage, driver, create, error);
  return bg_graph_close(graph, written ? error : NULL) && written;
}

static bool create_file(const char *filename, const BgDriver *driver, BgCreate *create, GError **error)
{
  if (!create_storage(filename, error))
    return false;
  if (fill_storage(filename, driver, create, error))
    return true;
  unlink(filename);
  return false;
}

/* What is to be made, and what only the core knows of it. */
typedef struct Order {
  BgCreate create;
  const BgSecrets *secrets;
} Order;

static bool need_secret(const BgCreate *create, const char *id, const BgSecret **secret, GError **error)
{
  return bg_secrets_choose(((const Order *)create)->secrets, id, secret, error);
}

bool bg_create_image(const char *format, const char *filename, uint64_t size, BgDict *options, const char *backing,
                     const char *backing_format, const BgSecrets *secrets, GError **error)
{
  const BgDriver *driver = find_creator(format, backing, error);
  g_auto(Options) typed = {0};
  g_autoptr(BgDict) none = bg_dict_new();
  if (!driver || !options_parse(&typed, driver, options ? options : none, error))
    return false;
  if (backing && !backing_format) {
    bg_set_error(error, EINVAL, "The format of the backing file must be named");
    return false;
  }
  if (backing && !check_backing(filename, backing, backing_format, &size, error))
    return false;
  if (size > INT64_MAX) {
    bg_set_error(error, backing || size != UINT64_MAX ? EFBIG : EINVAL, "The image needs a size, of less than 8 EiB");
    return false;
  }
  Order order = {.create = {.options = typed.values,
                            .size = size,
                            .backing_file = backing,
                            .backing_format = backing_format,
                            .need_secret = need_secret},
                 .secrets = secrets};
  return create_file(filename, driver, &order.create, error);
}
