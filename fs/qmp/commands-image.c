#include "fs/qmp/action.h"
#include "fs/qmp/error.h"
#include "fs/qmp/find.h"
#include "fs/qmp/retry.h"
#include "graph/escape.h"
#include "graph/query.h"
#include "graph/snapshot.h"
#include "graph/user.h"

#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

/* ── block_resize ── */

typedef struct Resize {
  BgNode *node;
  uint64_t size;
} Resize;

static bool resize(const BgfsQmpMount *mount, void *data, GError **error)
{
  (void)mount;
  const Resize *wanted = data;
  g_autoptr(BgUser) user = bg_user_new(wanted->node, "resize", BG_PERM_WRITE, BG_USER_READ_SHARED, error);
  if (!user)
    return false;
  int result = bg_user_resize(user, wanted->size, error);
  if (result && error && !*error)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Failed to resize: %s", g_strerror(-result));
  return result == 0;
}

static JsonNode *block_resize(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  gint64 size = json_object_get_int_member(arguments, "size");
  BgNode *node = bgfs_qmp_find_either(mount, arguments, "device", "node-name", error);
  if (!node)
    return NULL;
  if (size < 0) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter 'size' expects a >0 size");
    return NULL;
  }
  Resize wanted = {node, (uint64_t)size};
  return bgfs_qmp_retry(mount, resize, &wanted, error) ? bgfs_qmp_done() : NULL;
}

/* ── blockdev-snapshot ── */

bool bgfs_qmp_append_action(const BgfsQmpMount *mount, const char *command, JsonObject *arguments,
                            BgTransaction *transaction, GError **error)
{
  BgAppend append = {.node = bgfs_qmp_find_device(mount, json_object_get_string_member(arguments, "node"), error)};
  (void)command;
  if (append.node)
    append.overlay = bgfs_qmp_find_device(mount, json_object_get_string_member(arguments, "overlay"), error);
  return append.overlay && bg_transaction_add_append(transaction, &append, error);
}

static JsonNode *blockdev_snapshot(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_act(mount, bgfs_qmp_append_action, "blockdev-snapshot", arguments, error);
}

/* ── internal snapshots ── */

typedef struct Snapshot {
  BgNode *node;
  const char *name; /* or id */
} Snapshot;

static const BgSnapshot *find_snapshot(const GPtrArray *list, const char *name, const char *id)
{
  for (guint i = 0; list && i < list->len; i++) {
    const BgSnapshot *snapshot = list->pdata[i];
    if ((!name || strcmp(snapshot->name, name) == 0) && (!id || strcmp(snapshot->id, id) == 0))
      return snapshot;
  }
  return NULL;
}

static bool delete_snapshot(const BgfsQmpMount *mount, void *data, GError **error)
{
  (void)mount;
  const Snapshot *wanted = data;
  return bg_node_snapshot_delete(wanted->node, wanted->name, error);
}

static bool apply(const BgfsQmpMount *mount, void *data, GError **error)
{
  (void)mount;
  const Snapshot *wanted = data;
  return bg_node_snapshot_apply(wanted->node, wanted->name, error);
}

static bool check_new_snapshot(BgNode *node, const char *name, GError **error)
{
  g_autoptr(GPtrArray) list = bg_node_snapshots(node);
  g_autofree char *shown = bg_escape(name);
  if (!list)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR,
                       "Block format '%s' used by device '%s' does not support internal snapshots",
                       bg_node_driver(node)->name, bg_node_name(node));
  else if (!*name)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Name is empty");
  else if (find_snapshot(list, name, NULL))
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Snapshot with name '%s' already exists on device '%s'", shown,
                       bg_node_name(node));
  else
    return true;
  return false;
}

bool bgfs_qmp_snapshot_action(const BgfsQmpMount *mount, const char *command, JsonObject *arguments,
                              BgTransaction *transaction, GError **error)
{
  const char *name = json_object_get_string_member(arguments, "name");
  BgNode *node = bgfs_qmp_find_device(mount, json_object_get_string_member(arguments, "device"), error);
  (void)command;
  return node && check_new_snapshot(node, name, error) && bg_transaction_add_snapshot(transaction, node, name, error);
}

static JsonNode *snapshot_internal(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_act(mount, bgfs_qmp_snapshot_action, "blockdev-snapshot-internal-sync", arguments, error);
}

static void refuse_unknown(BgNode *node, const char *name, const char *id, GError **error)
{
  g_autofree char *one = name ? bg_escape(name) : NULL, *other = id ? bg_escape(id) : NULL;
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Snapshot with id '%s' and name '%s' does not exist on device '%s'",
                     other ? other : "(null)", one ? one : "(null)", bg_node_name(node));
}

/* The node, its snapshots and the one of them that `arguments` name; NULL and error if there is none. */
static const BgSnapshot *find_given(const BgfsQmpMount *mount, JsonObject *arguments, BgNode **node, GPtrArray **list,
                                    GError **error)
{
  const char *name = json_object_get_string_member_with_default(arguments, "name", NULL);
  const char *id = json_object_get_string_member_with_default(arguments, "id", NULL);
  *node = bgfs_qmp_find_device(mount, json_object_get_string_member(arguments, "device"), error);
  if (!*node)
    return NULL;
  if (!name && !id) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Name or id must be provided");
    return NULL;
  }
  *list = bg_node_snapshots(*node);
  const BgSnapshot *found = find_snapshot(*list, name, id);
  if (!found)
    refuse_unknown(*node, name, id, error);
  return found;
}

static JsonNode *snapshot_delete(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  BgNode *node;
  g_autoptr(GPtrArray) list = NULL;
  const BgSnapshot *found = find_given(mount, arguments, &node, &list, error);
  Snapshot wanted = {node, found ? found->id : NULL};
  return found && bgfs_qmp_retry(mount, delete_snapshot, &wanted, error) ? bg_query_snapshot(found) : NULL;
}

static JsonNode *snapshot_apply(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  BgNode *node;
  g_autoptr(GPtrArray) list = NULL;
  const BgSnapshot *found = find_given(mount, arguments, &node, &list, error);
  Snapshot wanted = {node, found ? found->id : NULL};
  return found && bgfs_qmp_retry(mount, apply, &wanted, error) ? bg_query_snapshot(found) : NULL;
}

/* ── types ── */

static const BgfsQmpMember resize_members[] = {
    {"device", &bgfs_qmp_string, true, "the node"},
    {"node-name", &bgfs_qmp_string, true, "the node"},
    {"size", &bgfs_qmp_int, false, "bytes"},
    {NULL},
};
static const BgfsQmpType resize_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockResize", .members = resize_members};

static const BgfsQmpMember append_members[] = {
    {"node", &bgfs_qmp_string, false, "the node that becomes the backing disk"},
    {"overlay", &bgfs_qmp_string, false, "the node that is put on it, opened with backing null"},
    {NULL},
};
const BgfsQmpType bgfs_qmp_append_type = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockdevSnapshot", .members = append_members};

static const BgfsQmpMember snapshot_members[] = {
    {"device", &bgfs_qmp_string, false, "the node"},
    {"name", &bgfs_qmp_string, false, "the new snapshot"},
    {NULL},
};
const BgfsQmpType bgfs_qmp_snapshot_type = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockdevSnapshotInternal", .members = snapshot_members};

static const BgfsQmpMember delete_members[] = {
    {"device", &bgfs_qmp_string, false, "the node"},
    {"id", &bgfs_qmp_string, true, "the snapshot's id"},
    {"name", &bgfs_qmp_string, true, "the snapshot's name"},
    {NULL},
};
static const BgfsQmpType delete_type = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockdevSnapshotDeleteInternal", .members = delete_members};

static const BgfsQmpMember info_members[] = {
    {"id", &bgfs_qmp_string, false, "its id"},
    {"name", &bgfs_qmp_string, false, "its name"},
    {"vm-state-size", &bgfs_qmp_int, false, "bytes of a machine's state"},
    {"date-sec", &bgfs_qmp_int, false, "when it was taken"},
    {"date-nsec", &bgfs_qmp_int, false, "the same, the fraction"},
    {"vm-clock-sec", &bgfs_qmp_int, false, "the machine's clock"},
    {"vm-clock-nsec", &bgfs_qmp_int, false, "the same, the fraction"},
    {"icount", &bgfs_qmp_int, true, "instructions of the machine"},
    {NULL},
};
static const BgfsQmpType info_type = {.kind = BGFS_QMP_OBJECT, .name = "SnapshotInfo", .members = info_members};

const BgfsQmpCommand bgfs_qmp_image_commands[] = {
    {"block_resize", block_resize, &resize_type, &bgfs_qmp_nothing, BGFS_QMP_CHANGES_FILES,
     "Gives a disk another size; this, and only this, also makes one smaller."},
    {"blockdev-snapshot", blockdev_snapshot, &bgfs_qmp_append_type, &bgfs_qmp_nothing, BGFS_QMP_CHANGES_FILES,
     "Puts an overlay on a node, which becomes its backing disk; nodes that stood on that stand on the overlay then. "
     "Refused while the "
     "node's file has a writer."},
    {"blockdev-snapshot-internal-sync", snapshot_internal, &bgfs_qmp_snapshot_type, &bgfs_qmp_nothing,
     BGFS_QMP_CHANGES_FILES, "Keeps the disk as it is now inside its image."},
    {"blockdev-snapshot-delete-internal-sync", snapshot_delete, &delete_type, &info_type, BGFS_QMP_CHANGES_FILES,
     "Deletes a snapshot inside an image, and tells what it was."},
    {"blockgraph-snapshot-apply", snapshot_apply, &delete_type, &info_type, BGFS_QMP_CHANGES_FILES,
     "Makes a disk what it was when the internal snapshot was taken. Refused while anybody has the disk or the "
     "snapshot open. "
     "QEMU has no such command."},
    {NULL},
};
