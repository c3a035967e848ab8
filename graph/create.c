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

/* Where the new image will look for what it names. */
static char *beside(const char *image, const char *name)
{
  g_autofree char *directory = g_path_get_dirname(image);
  return g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(directory, name, NULL);
}

/* ── the backing disk ── */

static BgGraph *new_graph(void)
{
  static const BgPolicy nothing_by_itself = {.without_keys = true};
  return bg_graph_new(&nothing_by_itself, NULL, NULL);
}

/* Only the named image is opened, not what it stands on in turn: the size is its own. */
static BgNode *open_backing(BgGraph *graph, const BgDriver *format, const char *filename, bool share, GError **error)
{
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "driver", format->name);
  bg_dict_set(options, "file.driver", "file");
  bg_dict_set(options, "file.filename", filename);
  bg_dict_set(options, "read-only", "on");
  if (share)
    bg_dict_set(options, "force-share", "on");
  if (has_backing(format))
    bg_dict_set(options, "backing", "");
  return bg_graph_add(graph, options, error);
}

static bool measure_backing(const char *format, const char *filename, bool share, uint64_t *size, GError **error)
{
  const BgDriver *driver = find_format(format, error);
  g_autoptr(BgGraph) graph = driver ? new_graph() : NULL;
  BgNode *node = driver ? open_backing(graph, driver, filename, share, error) : NULL;
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

/* Opens the backing image where the new image will look for it, and takes its size where none was given: else it does not matter
 * who writes it meanwhile. */
static bool check_backing(const char *image, const char *backing, const char *format, uint64_t *size, GError **error)
{
  if (bg_reference_has_protocol(backing)) {
    g_autofree char *shown = bg_escape(backing);
    bg_set_error(error, EPROTONOSUPPORT,
                 "'%s' would be taken for a protocol: only files can be backing files (./ in front helps)", shown);
    return false;
  }
  g_autofree char *filename = beside(image, backing);
  uint64_t found;
  if (!measure_backing(format, filename, *size != UINT64_MAX, &found, error)) {
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

static BgUser *open_writer(BgGraph *graph, const char *filename, GError **error)
{
  BgPerm perm = BG_PERM_CONSISTENT_READ | BG_PERM_WRITE | BG_PERM_RESIZE;
  BgNode *storage = open_storage(graph, filename, error);
  return storage ? bg_user_new(storage, "image creation", perm, BG_PERM_CONSISTENT_READ, error) : NULL;
}

/* Runs the format's create on the storage and makes it durable. `data_filename` may be NULL. */
static bool write_image(BgGraph *graph, const char *filename, const char *data_filename, const BgDriver *driver,
                        BgCreate *create, GError **error)
{
  g_autoptr(BgUser) user = open_writer(graph, filename, error);
  g_autoptr(BgUser) data_user = user && data_filename ? open_writer(graph, data_filename, error) : NULL;
  if (!user || (data_filename && !data_user))
    return false;
  BgUserChild file, data_file;
  bg_user_child_init(&file, "file", BG_ROLE_PRIMARY | BG_ROLE_DATA | BG_ROLE_METADATA, user);
  create->file = &file.child;
  if (data_user) {
    bg_user_child_init(&data_file, "data-file", BG_ROLE_DATA, data_user);
    create->data_file = &data_file.child;
  }
  if (!driver->create(create, error))
    return false;
  int result = bg_user_flush(user);
  if (result)
    bg_set_error_errno(error, -result, "Cannot write it out");
  return result == 0;
}

static bool fill_storage(const char *filename, const char *data_filename, const BgDriver *driver, BgCreate *create,
                         GError **error)
{
  BgGraph *graph = new_graph();
  bool written = write_image(graph, filename, data_filename, driver, create, error);
  return bg_graph_close(graph, written ? error : NULL) && written;
}

static bool create_data_file(const char *image, const char *name, char **filename, GError **error)
{
  if (bg_reference_has_protocol(name)) {
    g_autofree char *shown = bg_escape(name);
    bg_set_error(error, EPROTONOSUPPORT,
                 "'%s' would be taken for a protocol: only files can be data files (./ in front helps)", shown);
    return false;
  }
  g_autofree char *found = beside(image, name);
  if (!create_storage(found, error)) {
    g_prefix_error(error, "data file: ");
    return false;
  }
  *filename = g_steal_pointer(&found);
  return true;
}

static bool create_files(const char *filename, const BgDriver *driver, BgCreate *create, GError **error)
{
  const char *name = driver->create_data_file ? driver->create_data_file(create->options) : NULL;
  g_autofree char *data_filename = NULL;
  if (!create_storage(filename, error))
    return false;
  if ((!name || create_data_file(filename, name, &data_filename, error)) &&
      fill_storage(filename, data_filename, driver, create, error))
    return true;
  if (data_filename)
    unlink(data_filename);
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
  return create_files(filename, driver, &order.create, error);
}
