#include "graph/jobs/create.h"

#include "drivers/registry.h"
#include "graph/escape.h"
#include "graph/jobs/work.h"
#include "graph/node.h"
#include "graph/secret.h"
#include "graph/user-child.h"

#include <errno.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

typedef struct Create {
  BgCreate create; /* what the driver gets: first, so that need_secret() finds the rest */
  const BgDriver *driver;
  const BgSecrets *secrets;
  void *options;
  BgUser *file, *data_file;
  BgUserChild file_child, data_file_child;
  char *backing_file, *backing_format;
} Create;

static void create_clean(void *work)
{
  Create *create = work;
  bg_user_free(create->data_file);
  bg_user_free(create->file);
  if (create->options)
    bg_options_clear(create->driver->create_options, create->options);
  g_free(create->options);
  g_free(create->backing_file);
  g_free(create->backing_format);
  g_free(create);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Create, create_clean)

static bool need_secret(const BgCreate *create, const char *id, const BgSecret **secret, GError **error)
{
  return bg_secrets_choose(((const Create *)create)->secrets, id, secret, error);
}

/* ── the work ── */

static int flush(BgUser *user)
{
  return user ? bg_user_flush(user) : 0;
}

/* Formats count on empty storage. */
static bool empty_nodes(Create *create, GError **error)
{
  BgUser *users[] = {create->file, create->data_file};
  for (size_t i = 0; i < G_N_ELEMENTS(users); i++)
    if (users[i] && bg_node_size(bg_user_node(users[i])) != 0 && bg_user_resize(users[i], 0, error))
      return false;
  return true;
}

static bool create_run(BgJob *job, void *work, GError **error)
{
  Create *create = work;
  bg_job_set_total(job, 1);
  if (!empty_nodes(create, error) || !create->driver->create(&create->create, error))
    return false;
  int data = flush(create->data_file), result = flush(create->file);
  if (result || data)
    bg_set_error_errno(error, -(result ? result : data), "Cannot write it out");
  bg_job_advance(job, 1);
  return result == 0 && data == 0;
}

static const BgJobKind create_kind = {.type = "create", .run = create_run, .clean = create_clean};

/* ── the start ── */

static const BgDriver *find_driver(const char *name, GError **error)
{
  const BgDriver *driver = bg_driver_find(name);
  g_autofree char *shown = bg_escape(name);
  if (driver && driver->create)
    return driver;
  if (driver)
    bg_set_error(error, ENOTSUP, "Driver '%s' does not support image creation", shown);
  else
    bg_set_error(error, EINVAL, "Unknown driver '%s'", shown);
  return NULL;
}

static bool parse(Create *create, BgDict *dict, GError **error)
{
  const BgDriver *driver = create->driver;
  g_autoptr(BgDict) none = bg_dict_new();
  create->options = g_malloc0(MAX(driver->create_options_size, 1));
  create->create.options = create->options;
  if (!dict)
    dict = none;
  if (!bg_options_parse(driver->create_options, dict, create->options, error))
    return false;
  const char *unknown = bg_dict_first_key(dict);
  g_autofree char *shown = unknown ? bg_escape(unknown) : NULL;
  if (unknown)
    bg_set_error(error, EINVAL, "Creating with driver '%s' knows no option '%s'", driver->name, shown);
  return !unknown;
}

static bool check_nodes(const Create *create, const BgJobCreate *options, GError **error)
{
  bool format = create->driver->kind == BG_KIND_FORMAT;
  bool names_data = format && create->driver->create_data_file && create->driver->create_data_file(create->options);
  if (format != (options->file != NULL))
    bg_set_error(error, EINVAL, format ? "The node to be formatted must be named" : "Driver '%s' formats no node",
                 create->driver->name);
  else if (names_data != (options->data_file != NULL))
    bg_set_error(error, EINVAL, "A data file needs its name and its node, both or none");
  else if (!options->backing_file != !options->backing_format)
    bg_set_error(error, EINVAL, "The format of the backing file must be named");
  else if (options->size > INT64_MAX)
    bg_set_error(error, EFBIG, "The image needs a size of less than 8 EiB");
  else
    return true;
  return false;
}

/* Nobody else reads or writes it meanwhile. */
static BgUser *stand(const char *what, BgNode *node, GError **error)
{
  return bg_user_new(node, what, BG_PERM_CONSISTENT_READ | BG_PERM_WRITE | BG_PERM_RESIZE, BG_PERM_NONE, error);
}

static bool take_nodes(Create *create, const BgJobCreate *options, GError **error)
{
  g_autofree char *what = g_strdup_printf("create job '%s'", options->settings.id);
  if (options->file && !(create->file = stand(what, options->file, error)))
    return false;
  if (options->data_file && !(create->data_file = stand(what, options->data_file, error)))
    return false;
  if (create->file) {
    bg_user_child_init(&create->file_child, "file", BG_ROLE_PRIMARY | BG_ROLE_DATA | BG_ROLE_METADATA, create->file);
    create->create.file = &create->file_child.child;
  }
  if (create->data_file) {
    bg_user_child_init(&create->data_file_child, "data-file", BG_ROLE_DATA, create->data_file);
    create->create.data_file = &create->data_file_child.child;
  }
  return true;
}

BgJob *bg_job_create(BgGraph *graph, const BgJobCreate *options, GError **error)
{
  const BgDriver *driver = find_driver(options->driver, error);
  if (!driver || !bg_jobs_check_id(graph, options->settings.id, error))
    return NULL;
  g_autoptr(Create) create = g_new0(Create, 1);
  create->driver = driver;
  create->secrets = graph->policy.secrets;
  create->backing_file = g_strdup(options->backing_file);
  create->backing_format = g_strdup(options->backing_format);
  create->create = (BgCreate){.size = options->size,
                              .backing_file = create->backing_file,
                              .backing_format = create->backing_format,
                              .need_secret = need_secret};
  if (!parse(create, options->options, error) || !check_nodes(create, options, error) ||
      !take_nodes(create, options, error))
    return NULL;
  return bg_job_start(graph, &create_kind, &options->settings, g_steal_pointer(&create), error);
}
