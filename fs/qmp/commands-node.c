#include "fs/qmp/command.h"

#include "drivers/error.h"
#include "fs/images.h"
#include "fs/mountpoint.h"
#include "fs/qmp/error.h"
#include "fs/qmp/find.h"
#include "fs/qmp/objects.h"
#include "fs/qmp/retry.h"
#include "graph/blockdev.h"

#include <errno.h>
#include <string.h>

/* ── blockdev-add ── */

/* Before they are opened: whoever opens a file of the own mount waits for itself. */
static bool check_filenames(const BgfsQmpMount *mount, const BgDict *options, GError **error)
{
  GHashTableIter iter;
  gpointer key, value;
  g_hash_table_iter_init(&iter, (BgDict *)options);
  while (mount->mountpoint && g_hash_table_iter_next(&iter, &key, &value))
    if ((strcmp(key, "filename") == 0 || g_str_has_suffix(key, ".filename")) &&
        !bgfs_mountpoint_check_file(mount->mountpoint, value, error))
      return false;
  return true;
}

static bool check_name(const BgfsQmpMount *mount, const BgDict *options, GError **error)
{
  const char *name = bg_dict_get(options, "node-name");
  if (!name) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "'node-name' must be specified for the root node");
    return false;
  }
  if (!bg_graph_find(mount->graph, name))
    return true;
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Duplicate nodes with node-name='%s'", name);
  return false;
}

static JsonNode *blockdev_add(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_autoptr(BgDict) options = bg_blockdev_from_json(arguments, error);
  if (options)
    bgfs_qmp_objects_resolve(mount->objects, options);
  if (!options || !check_name(mount, options, error) || !check_filenames(mount, options, error))
    return NULL;
  BgNode *node = bg_graph_add(mount->graph, options, error);
  if (!node)
    return NULL;
  /* what images refer to is known only now */
  if (!mount->mountpoint || bgfs_images_check(mount->graph, mount->mountpoint, error))
    return bgfs_qmp_done();
  g_autoptr(GError) failure = NULL;
  if (!bg_graph_remove(mount->graph, node, &failure))
    g_warning("%s", failure->message);
  return NULL;
}

/* ── blockdev-del ── */

static bool remove_node(const BgfsQmpMount *mount, void *data, GError **error)
{
  return bg_graph_remove(mount->graph, data, error);
}

static JsonNode *blockdev_del(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  const char *name = json_object_get_string_member(arguments, "node-name");
  BgNode *node = bgfs_qmp_find_node(mount, name, error);
  if (!node)
    return NULL;
  if (strchr(name, '@')) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR,
                       "Node '%s' is an internal snapshot: blockdev-snapshot-delete-internal-sync deletes it", name);
    return NULL;
  }
  g_autoptr(GError) failure = NULL;
  if (bgfs_qmp_retry(mount, remove_node, node, &failure))
    return bgfs_qmp_done();
  if (bg_error_errno(failure) == EBUSY)
    g_prefix_error(&failure, "Block device %s is in use: ", name);
  g_propagate_error(error, g_steal_pointer(&failure));
  return NULL;
}

/* ── blockdev-reopen ── */

static bool check_reopen(const BgfsQmpMount *mount, const BgDict *options, GError **error)
{
  const char *name = bg_dict_get(options, "node-name");
  if (name)
    return bgfs_qmp_find_node(mount, name, error);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "node-name not specified");
  return false;
}

static GPtrArray *reopen_options(const BgfsQmpMount *mount, JsonArray *list, GError **error)
{
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)bg_dict_free);
  for (guint i = 0; i < json_array_get_length(list); i++) {
    BgDict *options = bg_blockdev_from_json(json_array_get_object_element(list, i), error);
    if (!options)
      return NULL;
    g_ptr_array_add(all, options);
    bgfs_qmp_objects_resolve(mount->objects, options);
    if (!check_reopen(mount, options, error) || !check_filenames(mount, options, error))
      return NULL;
  }
  return g_steal_pointer(&all);
}

/* A refused attempt takes the options all the same. */
static bool reopen_copies(const BgfsQmpMount *mount, void *data, GError **error)
{
  const GPtrArray *options = data;
  g_autoptr(GPtrArray) copies = g_ptr_array_new_with_free_func((GDestroyNotify)bg_dict_free);
  for (guint i = 0; i < options->len; i++)
    g_ptr_array_add(copies, bg_dict_copy(options->pdata[i]));
  return bg_graph_reopen(mount->graph, (BgDict *const *)copies->pdata, copies->len, error);
}

static JsonNode *blockdev_reopen(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  JsonArray *list = json_object_get_array_member(arguments, "options");
  g_autoptr(GPtrArray) options = reopen_options(mount, list, error);
  if (!options)
    return NULL;
  if (options->len > 0 && !bgfs_qmp_retry(mount, reopen_copies, options, error))
    return NULL;
  return bgfs_qmp_done();
}

/* ── types ── */

static const BgfsQmpMember node_members[] = {
    {"node-name", &bgfs_qmp_string, false, "the node"},
    {NULL},
};
static const BgfsQmpType node_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockdevDel", .members = node_members};

static const BgfsQmpMember reopen_members[] = {
    {"options", &bgfs_qmp_blockdev_options_list, false, "each node's whole set of options, as for blockdev-add"},
    {NULL},
};
static const BgfsQmpType reopen_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockdevReopen", .members = reopen_members};

const BgfsQmpCommand bgfs_qmp_node_commands[] = {
    {"blockdev-add", blockdev_add, &bgfs_qmp_blockdev_options, &bgfs_qmp_nothing, BGFS_QMP_CHANGES_FILES,
     "Opens a node, with children written inline or named, as --blockdev does. Its file is in the mount when the "
     "answer comes. A name must "
     "be given; files are named by absolute paths, for a daemon's working directory is /."},
    {"blockdev-del", blockdev_del, &node_type, &bgfs_qmp_nothing, BGFS_QMP_CHANGES_FILES,
     "Closes a node that nobody uses, and children that were written inline and that nobody else uses. Its file is "
     "gone when the "
     "answer comes. A node that is open, or that another stands on, is refused."},
    {"blockdev-reopen", blockdev_reopen, &reopen_type, &bgfs_qmp_nothing, BGFS_QMP_CHANGES_FILES,
     "Gives several nodes other options in one transaction: all, or none if one cannot be. Options that are left out "
     "go back to their "
     "defaults. A child is named by its node name, to replace what is there, or null, to take it away; where its "
     "options are written "
     "inline, it stays and gets these; no node gets another name. Children that are left out stay as they are."},
    {NULL},
};
