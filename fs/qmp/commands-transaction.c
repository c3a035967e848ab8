#include "fs/qmp/action.h"
#include "fs/qmp/retry.h"

#include <string.h>

static const struct {
  const char *type;
  BgfsQmpAction *action;
} actions[] = {
    {"block-dirty-bitmap-add", bgfs_qmp_bitmap_action},
    {"block-dirty-bitmap-clear", bgfs_qmp_bitmap_action},
    {"block-dirty-bitmap-disable", bgfs_qmp_bitmap_action},
    {"block-dirty-bitmap-enable", bgfs_qmp_bitmap_action},
    {"block-dirty-bitmap-merge", bgfs_qmp_bitmap_action},
    {"block-dirty-bitmap-remove", bgfs_qmp_bitmap_action},
    {"blockdev-backup", bgfs_qmp_backup_action},
    {"blockdev-snapshot", bgfs_qmp_append_action},
    {"blockdev-snapshot-internal-sync", bgfs_qmp_snapshot_action},
};

static bool add(const BgfsQmpMount *mount, JsonObject *action, BgTransaction *transaction, GError **error)
{
  const char *type = json_object_get_string_member(action, "type");
  JsonObject *data = json_object_get_object_member(action, "data");
  for (size_t i = 0; i < G_N_ELEMENTS(actions); i++)
    if (strcmp(actions[i].type, type) == 0)
      return actions[i].action(mount, type, data, transaction, error);
  bg_transaction_add_abort(transaction);
  return true;
}

static bool is_grouped(JsonObject *arguments)
{
  JsonObject *properties =
      json_object_has_member(arguments, "properties") ? json_object_get_object_member(arguments, "properties") : NULL;
  const char *mode =
      properties ? json_object_get_string_member_with_default(properties, "completion-mode", NULL) : NULL;
  return g_strcmp0(mode, "grouped") == 0;
}

static bool run(const BgfsQmpMount *mount, void *data, GError **error)
{
  JsonObject *arguments = data;
  JsonArray *list = json_object_get_array_member(arguments, "actions");
  g_autoptr(BgTransaction) transaction = bg_transaction_new(mount->graph, is_grouped(arguments));
  for (guint i = 0; i < json_array_get_length(list); i++)
    if (!add(mount, json_array_get_object_element(list, i), transaction, error))
      return false;
  return bg_transaction_run(transaction, error);
}

static JsonNode *transaction(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_retry(mount, run, arguments, error) ? bgfs_qmp_done() : NULL;
}

/* ── types ── */

static const char *const types[] = {"abort",
                                    "block-dirty-bitmap-add",
                                    "block-dirty-bitmap-clear",
                                    "block-dirty-bitmap-disable",
                                    "block-dirty-bitmap-enable",
                                    "block-dirty-bitmap-merge",
                                    "block-dirty-bitmap-remove",
                                    "blockdev-backup",
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
WRAPPER(backup, bgfs_qmp_backup_type);
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
    {"blockdev-backup", &backup_wrapper},
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

static const char *const modes[] = {"individual", "grouped", NULL};
static const BgfsQmpType mode_type = {.kind = BGFS_QMP_ENUM, .name = "ActionCompletionMode", .values = modes};
static const BgfsQmpMember properties_members[] = {
    {"completion-mode", &mode_type, true,
     "whether each job ends for itself (individual, the default), or all succeed or none (grouped)"},
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
     "Carries several commands out at one instant, all or none of them, in the order in which they are written; "
     "overlays come last. "
     "abort fails when its turn comes. Jobs of a transaction that fails go as if they were cancelled. Where they are "
     "grouped, "
     "none takes effect before all have done their work; if one fails or is cancelled, so are the others, and one that "
     "is "
     "finalized by hand finalizes all."},
    {NULL},
};
