#include "fs/qmp/action.h"
#include "fs/qmp/error.h"
#include "fs/qmp/retry.h"
#include "graph/snapshot.h"

#include <string.h>

/* Actions are taken at one instant where they are of one kind: bitmaps of any nodes between two requests of all their users; overlays in
 * one change of the graph. Snapshots inside images are taken one after another. What would need two of these is refused: a
 * write in between would be in one and not in the other. */
typedef struct Transaction {
  const BgfsQmpMount *mount;
  GArray *bitmaps;      /* BgBitmapAction */
  GPtrArray *sources;   /* what they point to */
  GArray *appends;      /* BgAppend */
  GPtrArray *snapshots; /* JsonObject *: arguments; not owned */
  bool aborts;
} Transaction;

static void transaction_clear(Transaction *t)
{
  g_array_unref(t->bitmaps);
  g_ptr_array_unref(t->sources);
  g_array_unref(t->appends);
  g_ptr_array_unref(t->snapshots);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Transaction, transaction_clear)

/* ── taking the actions ── */

static bool take_bitmap(Transaction *t, const char *type, JsonObject *data, GError **error)
{
  BgBitmapAction action;
  BgBitmapSource *sources;
  bool good = bgfs_qmp_bitmap_action(t->mount, type, data, &action, &sources, error);
  if (sources)
    g_ptr_array_add(t->sources, sources);
  if (good)
    g_array_append_val(t->bitmaps, action);
  return good;
}

static bool take_append(Transaction *t, JsonObject *data, GError **error)
{
  BgAppend append;
  bool good = bgfs_qmp_append_action(t->mount, data, &append, error);
  if (good)
    g_array_append_val(t->appends, append);
  return good;
}

static bool take(Transaction *t, JsonObject *action, GError **error)
{
  const char *type = json_object_get_string_member(action, "type");
  JsonObject *data = json_object_get_object_member(action, "data");
  if (bgfs_qmp_is_bitmap_action(type))
    return take_bitmap(t, type, data, error);
  if (strcmp(type, "blockdev-snapshot") == 0)
    return take_append(t, data, error);
  if (strcmp(type, "blockdev-snapshot-internal-sync") == 0)
    g_ptr_array_add(t->snapshots, data);
  else
    t->aborts = true;
  return true;
}

static bool take_all(Transaction *t, JsonArray *actions, GError **error)
{
  for (guint i = 0; i < json_array_get_length(actions); i++)
    if (!take(t, json_array_get_object_element(actions, i), error))
      return false;
  return true;
}

static bool check(const Transaction *t, GError **error)
{
  if (!!t->bitmaps->len + !!t->appends->len + !!t->snapshots->len > 1)
    bgfs_qmp_set_error(
        error, BGFS_QMP_GENERIC_ERROR,
        "Bitmaps, overlays and internal snapshots cannot be changed at one instant: use a transaction for each");
  else if (t->aborts)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Transaction aborted using Abort action");
  else
    return true;
  return false;
}

/* ── doing them ── */

static bool change_bitmaps(const BgfsQmpMount *mount, void *data, GError **error)
{
  const GArray *actions = data;
  return bg_bitmaps_change(mount->graph, (const BgBitmapAction *)(void *)actions->data, actions->len, error);
}

static bool append_all(const BgfsQmpMount *mount, void *data, GError **error)
{
  const GArray *appends = data;
  return bg_graph_append(mount->graph, (const BgAppend *)(void *)appends->data, appends->len, error);
}

typedef struct Taken {
  BgNode *node;
  char *id;
} Taken;

static void taken_clear(gpointer data)
{
  g_free(((Taken *)data)->id);
}

static void delete_all(const GArray *taken)
{
  for (guint i = taken->len; i-- > 0;) {
    const Taken *one = &g_array_index(taken, Taken, i);
    g_autoptr(GError) error = NULL;
    if (one->id && !bg_node_snapshot_delete(one->node, one->id, &error))
      g_warning("a snapshot of a transaction that failed stays: %s", error->message);
  }
}

static bool take_snapshots(const Transaction *t, GError **error)
{
  g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(Taken));
  g_array_set_clear_func(taken, taken_clear);
  for (guint i = 0; i < t->snapshots->len; i++) {
    Taken one = {NULL, NULL};
    if (!bgfs_qmp_take_snapshot(t->mount, t->snapshots->pdata[i], &one.node, &one.id, error)) {
      delete_all(taken);
      return false;
    }
    g_array_append_val(taken, one);
  }
  return true;
}

static bool execute(const Transaction *t, GError **error)
{
  if (t->bitmaps->len)
    return bgfs_qmp_retry(t->mount, change_bitmaps, t->bitmaps, error);
  if (t->appends->len)
    return bgfs_qmp_retry(t->mount, append_all, t->appends, error);
  return take_snapshots(t, error);
}

static JsonNode *transaction(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_auto(Transaction) t = {.mount = mount,
                           .bitmaps = g_array_new(FALSE, FALSE, sizeof(BgBitmapAction)),
                           .sources = g_ptr_array_new_with_free_func(g_free),
                           .appends = g_array_new(FALSE, FALSE, sizeof(BgAppend)),
                           .snapshots = g_ptr_array_new()};
  JsonArray *actions = json_object_get_array_member(arguments, "actions");
  return take_all(&t, actions, error) && check(&t, error) && execute(&t, error) ? bgfs_qmp_done() : NULL;
}

/* ── types ── */

static const char *const types[] = {"abort",
                                    "block-dirty-bitmap-add",
                                    "block-dirty-bitmap-clear",
                                    "block-dirty-bitmap-disable",
                                    "block-dirty-bitmap-enable",
                                    "block-dirty-bitmap-merge",
                                    "block-dirty-bitmap-remove",
                                    "blockdev-snapshot",
                                    "blockdev-snapshot-internal-sync",
                                    NULL};
static const BgfsQmpType action_kind = {.kind = BGFS_QMP_ENUM, .name = "TransactionActionKind", .values = types};

/* What is in `data`, by the type beside it. */
#define WRAPPER(what, inner)                                                                                           \
  static const BgfsQmpMember what##_members[] = {{"data", &inner, false, "the command's arguments"}, {NULL}};          \
  static const BgfsQmpType what##_wrapper = {                                                                          \
      .kind = BGFS_QMP_OBJECT, .name = #inner "-wrapper", .members = what##_members}

WRAPPER(abort, bgfs_qmp_nothing);
WRAPPER(add, bgfs_qmp_bitmap_add_type);
WRAPPER(bitmap, bgfs_qmp_bitmap_type);
WRAPPER(merge, bgfs_qmp_bitmap_merge_type);
WRAPPER(append, bgfs_qmp_append_type);
WRAPPER(snapshot, bgfs_qmp_snapshot_type);

static const BgfsQmpVariant variants[] = {
    {"abort", &abort_wrapper},
    {"block-dirty-bitmap-add", &add_wrapper},
    {"block-dirty-bitmap-clear", &bitmap_wrapper},
    {"block-dirty-bitmap-disable", &bitmap_wrapper},
    {"block-dirty-bitmap-enable", &bitmap_wrapper},
    {"block-dirty-bitmap-merge", &merge_wrapper},
    {"block-dirty-bitmap-remove", &bitmap_wrapper},
    {"blockdev-snapshot", &append_wrapper},
    {"blockdev-snapshot-internal-sync", &snapshot_wrapper},
    {NULL},
};
static const BgfsQmpMember action_members[] = {{"type", &action_kind, false, "a command's name"}, {NULL}};
static const BgfsQmpType action_type = {.kind = BGFS_QMP_OBJECT,
                                        .name = "TransactionAction",
                                        .members = action_members,
                                        .tag = "type",
                                        .variants = variants};
static const BgfsQmpType action_list = {.kind = BGFS_QMP_ARRAY, .name = "[TransactionAction]", .element = &action_type};

static const char *const modes[] = {"individual", NULL};
static const BgfsQmpType mode_type = {.kind = BGFS_QMP_ENUM, .name = "ActionCompletionMode", .values = modes};
static const BgfsQmpMember properties_members[] = {
    {"completion-mode", &mode_type, true, "how jobs depend on each other: not at all"},
    {NULL},
};
static const BgfsQmpType properties_type = {
    .kind = BGFS_QMP_OBJECT, .name = "TransactionProperties", .members = properties_members};

static const BgfsQmpMember transaction_members[] = {
    {"actions", &action_list, false, "what is to be done"},
    {"properties", &properties_type, true, "settings"},
    {NULL},
};
static const BgfsQmpType transaction_type = {
    .kind = BGFS_QMP_OBJECT, .name = "Transaction", .members = transaction_members};

const BgfsQmpCommand bgfs_qmp_transaction_commands[] = {
    {"transaction", transaction, &transaction_type, &bgfs_qmp_nothing, BGFS_QMP_CHANGES_FILES,
     "Carries several commands out at one instant, all or none of them. Bitmaps, overlays and internal snapshots each "
     "need a transaction "
     "of their own; internal snapshots of several nodes are taken one after another."},
    {NULL},
};
