#include "fs/qmp/action.h"
#include "fs/qmp/find.h"

#include <string.h>

static const struct {
  const char *type;
  BgBitmapVerb verb;
} verbs[] = {
    {"block-dirty-bitmap-add", BG_BITMAP_ADD},         {"block-dirty-bitmap-remove", BG_BITMAP_REMOVE},
    {"block-dirty-bitmap-clear", BG_BITMAP_CLEAR},     {"block-dirty-bitmap-enable", BG_BITMAP_ENABLE},
    {"block-dirty-bitmap-disable", BG_BITMAP_DISABLE}, {"block-dirty-bitmap-merge", BG_BITMAP_MERGE},
};

/* One element of `bitmaps`: a name, or a node and a name. */
static bool take_source(const BgfsQmpMount *mount, BgNode *node, JsonNode *element, BgBitmapSource *source,
                        GError **error)
{
  if (JSON_NODE_HOLDS_VALUE(element)) {
    *source = (BgBitmapSource){node, json_node_get_string(element)};
    return true;
  }
  JsonObject *external = json_node_get_object(element);
  source->name = json_object_get_string_member(external, "name");
  source->node = bgfs_qmp_find_device(mount, json_object_get_string_member(external, "node"), error);
  return source->node;
}

static bool take_sources(const BgfsQmpMount *mount, JsonArray *list, BgBitmapAction *action, BgBitmapSource **sources,
                         GError **error)
{
  guint count = json_array_get_length(list);
  g_autofree BgBitmapSource *all = g_new0(BgBitmapSource, count + 1);
  for (guint i = 0; i < count; i++)
    if (!take_source(mount, action->node, json_array_get_element(list, i), &all[i], error))
      return false;
  action->source_count = count;
  action->sources = *sources = g_steal_pointer(&all);
  return true;
}

bool bgfs_qmp_bitmap_action(const BgfsQmpMount *mount, const char *command, JsonObject *arguments,
                            BgTransaction *transaction, GError **error)
{
  bool merge = strcmp(command, "block-dirty-bitmap-merge") == 0;
  g_autofree BgBitmapSource *sources = NULL;
  BgBitmapAction action = {.node = bgfs_qmp_find_device(mount, json_object_get_string_member(arguments, "node"), error),
                           .name = json_object_get_string_member(arguments, merge ? "target" : "name"),
                           .granularity =
                               (uint64_t)MAX(json_object_get_int_member_with_default(arguments, "granularity", 0), 0),
                           .persistent = json_object_get_boolean_member_with_default(arguments, "persistent", FALSE),
                           .disabled = json_object_get_boolean_member_with_default(arguments, "disabled", FALSE)};
  for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
    if (strcmp(verbs[i].type, command) == 0)
      action.verb = verbs[i].verb;
  if (!action.node ||
      (merge && !take_sources(mount, json_object_get_array_member(arguments, "bitmaps"), &action, &sources, error)))
    return false;
  return bg_transaction_add_bitmap(transaction, &action, error);
}

static JsonNode *add(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_act(mount, bgfs_qmp_bitmap_action, "block-dirty-bitmap-add", arguments, error);
}

static JsonNode *remove_bitmap(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_act(mount, bgfs_qmp_bitmap_action, "block-dirty-bitmap-remove", arguments, error);
}

static JsonNode *clear(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_act(mount, bgfs_qmp_bitmap_action, "block-dirty-bitmap-clear", arguments, error);
}

static JsonNode *enable(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_act(mount, bgfs_qmp_bitmap_action, "block-dirty-bitmap-enable", arguments, error);
}

static JsonNode *disable(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_act(mount, bgfs_qmp_bitmap_action, "block-dirty-bitmap-disable", arguments, error);
}

static JsonNode *merge(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  return bgfs_qmp_act(mount, bgfs_qmp_bitmap_action, "block-dirty-bitmap-merge", arguments, error);
}

/* ── types ── */

static const BgfsQmpMember bitmap_members[] = {
    {"node", &bgfs_qmp_string, false, "the node"},
    {"name", &bgfs_qmp_string, false, "the bitmap"},
    {NULL},
};
const BgfsQmpType bgfs_qmp_bitmap_type = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockDirtyBitmap", .members = bitmap_members};

static const BgfsQmpMember add_members[] = {
    {"node", &bgfs_qmp_string, false, "the node"},
    {"name", &bgfs_qmp_string, false, "the new bitmap"},
    {"granularity", &bgfs_qmp_int, true,
     "bytes that one bit stands for, a power of two (default: the node's, between 4 and 64 KiB)"},
    {"persistent", &bgfs_qmp_bool, true, "keep it in the image (default: false)"},
    {"disabled", &bgfs_qmp_bool, true, "do not record yet (default: false)"},
    {NULL},
};
const BgfsQmpType bgfs_qmp_bitmap_add_type = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockDirtyBitmapAdd", .members = add_members};

static const BgfsQmpType *const source_alternatives[] = {&bgfs_qmp_string, &bgfs_qmp_bitmap_type, NULL};
static const BgfsQmpType source_type = {
    .kind = BGFS_QMP_ALTERNATE, .name = "BlockDirtyBitmapOrStr", .alternatives = source_alternatives};
static const BgfsQmpType source_list = {
    .kind = BGFS_QMP_ARRAY, .name = "[BlockDirtyBitmapOrStr]", .element = &source_type};

static const BgfsQmpMember merge_members[] = {
    {"node", &bgfs_qmp_string, false, "the node"},
    {"target", &bgfs_qmp_string, false, "the bitmap that takes the others up"},
    {"bitmaps", &source_list, false, "bitmaps of the same node by their names, or of others"},
    {NULL},
};
const BgfsQmpType bgfs_qmp_bitmap_merge_type = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockDirtyBitmapMerge", .members = merge_members};

const BgfsQmpCommand bgfs_qmp_bitmap_commands[] = {
    {"block-dirty-bitmap-add", add, &bgfs_qmp_bitmap_add_type, &bgfs_qmp_nothing, 0,
     "Makes a bitmap that records which parts of a node are written. It lasts as long as the "
     "node, or, if it is persistent, in the node's image, into which it is written when the image becomes read-only."},
    {"block-dirty-bitmap-remove", remove_bitmap, &bgfs_qmp_bitmap_type, &bgfs_qmp_nothing, 0,
     "Forgets a bitmap, also one that the image keeps."},
    {"block-dirty-bitmap-clear", clear, &bgfs_qmp_bitmap_type, &bgfs_qmp_nothing, 0, "Makes all of a bitmap clean."},
    {"block-dirty-bitmap-enable", enable, &bgfs_qmp_bitmap_type, &bgfs_qmp_nothing, 0, "Lets a bitmap record."},
    {"block-dirty-bitmap-disable", disable, &bgfs_qmp_bitmap_type, &bgfs_qmp_nothing, 0,
     "Lets a bitmap record no more."},
    {"block-dirty-bitmap-merge", merge, &bgfs_qmp_bitmap_merge_type, &bgfs_qmp_nothing, 0,
     "Makes dirty in one bitmap what is dirty in others."},
    {NULL},
};
