#include "fs/qmp/command.h"

#include "drivers/registry.h"
#include "fs/qmp/error.h"
#include "fs/qmp/find.h"
#include "graph/backing.h"
#include "graph/blockdev.h"
#include "graph/jobs/create.h"

#include <string.h>

/* ── blockdev-create ── */

/* QMP writes "cluster-size" where the command line has cluster_size. */
static BgDict *spell(const BgDriver *driver, const BgDict *given)
{
  BgDict *spelt = bg_dict_new();
  GHashTableIter iter;
  gpointer key, value;
  g_hash_table_iter_init(&iter, (BgDict *)given);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    g_autofree char *other = g_strdelimit(g_strdup(key), "-", '_');
    bool is_other = !bg_option_find(driver->create_options, key) && bg_option_find(driver->create_options, other);
    bg_dict_set(spelt, is_other ? other : key, value);
  }
  return spelt;
}

/* QEMU's word for the version of qcow2's header. */
static void spell_version(BgDict *options)
{
  g_autofree char *version = bg_dict_take(options, "version");
  if (version)
    bg_dict_set(options, "compat", strcmp(version, "v2") == 0 ? "0.10" : strcmp(version, "v3") == 0 ? "1.1" : version);
}

static bool take_node(const BgfsQmpMount *mount, BgDict *options, const char *name, BgNode **node, GError **error)
{
  g_autofree char *given = bg_dict_take(options, name);
  *node = given ? bgfs_qmp_find_device(mount, given, error) : NULL;
  return *node || !given;
}

static bool take_size(BgDict *options, uint64_t *size, GError **error)
{
  g_autofree char *text = bg_dict_take(options, "size");
  if (text)
    return bg_parse_size(text, size, error);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter 'options.size' is missing");
  return false;
}

static const BgDriver *take_driver(BgDict *options, GError **error)
{
  g_autofree char *name = bg_dict_take(options, "driver");
  const BgDriver *driver = name ? bg_driver_find(name) : NULL;
  if (!name)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter 'options.driver' is missing");
  else if (!driver || !driver->create)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter 'options.driver' does not accept value '%s'", name);
  return driver && driver->create ? driver : NULL;
}

static JsonNode *start(const BgfsQmpMount *mount, const char *id, BgDict *given, GError **error)
{
  const BgDriver *driver = take_driver(given, error);
  g_autofree char *backing_file = bg_dict_take(given, "backing-file"),
                  *backing_format = bg_dict_take(given, "backing-fmt");
  BgJobCreate create = {
      .settings = {.id = id, .manual_dismiss = true}, .backing_file = backing_file, .backing_format = backing_format};
  if (!driver || !take_size(given, &create.size, error) || !take_node(mount, given, "file", &create.file, error) ||
      !take_node(mount, given, "data-file", &create.data_file, error))
    return NULL;
  spell_version(given);
  g_autoptr(BgDict) options = spell(driver, given);
  create.driver = driver->name;
  create.options = options;
  g_autoptr(BgJob) job = bg_job_create(mount->graph, &create, error);
  return job ? bgfs_qmp_done() : NULL;
}

static JsonNode *blockdev_create(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  JsonNode *options = json_object_get_member(arguments, "options");
  if (!JSON_NODE_HOLDS_OBJECT(options)) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Invalid parameter type for 'options', expected: object");
    return NULL;
  }
  g_autoptr(BgDict) given = bg_blockdev_from_json(json_node_get_object(options), error);
  return given ? start(mount, json_object_get_string_member(arguments, "job-id"), given, error) : NULL;
}

/* ── change-backing-file ── */

static JsonNode *change_backing_file(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  const char *file = json_object_get_string_member(arguments, "backing-file");
  BgNode *node = bgfs_qmp_find_either(mount, arguments, "device", "image-node-name", error);
  if (!node)
    return NULL;
  g_autofree char *recorded = NULL, *format = NULL;
  bg_node_recorded_backing(node, &recorded, &format);
  if (!recorded) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR,
                       "not allowing backing file change on an image without a backing file");
    return NULL;
  }
  BgNode *below = bg_node_child(node, "backing");
  const char *now = below ? bg_node_driver(below)->name : format;
  return bg_node_record_backing(node, *file ? file : NULL, *file ? now : NULL, error) ? bgfs_qmp_done() : NULL;
}

/* ── types ── */

static const BgfsQmpMember create_members[] = {
    {"job-id", &bgfs_qmp_string, false, "the job's name"},
    {"options", &bgfs_qmp_any, false,
     "driver and size, for a format the node file; the rest is what blockgraphfs --driver-help tells of create"},
    {NULL},
};
static const BgfsQmpType create_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockdevCreate", .members = create_members};

static const BgfsQmpMember backing_members[] = {
    {"device", &bgfs_qmp_string, true, "the node where the chain begins"},
    {"image-node-name", &bgfs_qmp_string, false, "the node whose image is changed"},
    {"backing-file", &bgfs_qmp_string, false, "the name that it is to record"},
    {NULL},
};
static const BgfsQmpType backing_type = {
    .kind = BGFS_QMP_OBJECT, .name = "ChangeBackingFile", .members = backing_members};

const BgfsQmpCommand bgfs_qmp_create_commands[] = {
    {"blockdev-create", blockdev_create, &create_type, &bgfs_qmp_nothing, 0,
     "Starts a job that makes a file, or an image on a node that is there. It stays until job-dismiss."},
    {"change-backing-file", change_backing_file, &backing_type, &bgfs_qmp_nothing, 0,
     "Changes which backing file an image records. The graph stays as it is."},
    {NULL},
};
