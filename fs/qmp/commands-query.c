#include "fs/qmp/command.h"

#include "fs/image-info.h"
#include "graph/query.h"

#include <string.h>

/* ── query-named-block-nodes ── */

static const char *option_of(const BgSeenNode *seen, const char *name)
{
  for (guint i = 0; i < seen->options->len; i++) {
    const BgSeenOption *option = seen->options->pdata[i];
    if (strcmp(option->name, name) == 0)
      return option->value;
  }
  return "off";
}

static JsonObject *cache_of(const BgSeenNode *seen)
{
  JsonObject *cache = json_object_new();
  json_object_set_boolean_member(cache, "writeback", TRUE);
  json_object_set_boolean_member(cache, "direct", strcmp(option_of(seen, "cache.direct"), "on") == 0);
  json_object_set_boolean_member(cache, "no-flush", strcmp(option_of(seen, "cache.no-flush"), "on") == 0);
  return cache;
}

static JsonArray *children_of(const BgSeenNode *seen)
{
  JsonArray *children = json_array_new();
  for (guint i = 0; i < seen->edges->len; i++) {
    const BgSeenEdge *edge = seen->edges->pdata[i];
    JsonObject *child = json_object_new();
    json_object_set_string_member(child, "child", edge->name);
    bgfs_json_set_text(child, "node-name", edge->child->name);
    json_array_add_object_element(children, child);
  }
  return children;
}

static JsonArray *bitmaps_of(const BgSeenNode *seen)
{
  JsonArray *bitmaps = json_array_new();
  for (guint i = 0; i < seen->bitmaps->len; i++)
    json_array_add_element(bitmaps, bg_query_bitmap(seen->bitmaps->pdata[i]));
  return bitmaps;
}

/* Limits of throughput, which there are none of; QEMU always tells them. */
static void set_limits(JsonObject *node)
{
  static const char *const names[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr", "write_threshold"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    json_object_set_int_member(node, names[i], 0);
}

static const char *filename_of(const BgSeenNode *seen)
{
  return seen->filename ? seen->filename : "";
}

static unsigned backing_depth(const BgSeenNode *seen)
{
  unsigned depth = 0;
  while ((seen = bgfs_image_child(seen, "backing")))
    depth++;
  return depth;
}

static JsonObject *image_of(const BgSeenNode *seen, bool flat)
{
  JsonObject *image = bgfs_image_info(seen, filename_of(seen));
  JsonObject *above = image;
  for (const BgSeenNode *below = seen; !flat && (below = bgfs_image_child(below, "backing"));) {
    JsonObject *next = bgfs_image_info(below, filename_of(below));
    json_object_set_object_member(above, "backing-image", next);
    above = next;
  }
  return image;
}

static JsonObject *describe(const BgSeenNode *seen, bool flat)
{
  JsonObject *node = json_object_new();
  const char *backing = bgfs_image_text_fact(seen, "backing-file");
  bgfs_json_set_text(node, "node-name", seen->name);
  bgfs_json_set_text(node, "drv", seen->driver->name);
  bgfs_json_set_text(node, "file", filename_of(seen));
  json_object_set_boolean_member(node, "ro", !seen->read_write);
  if (backing)
    bgfs_json_set_text(node, "backing_file", backing);
  json_object_set_int_member(node, "backing_file_depth", backing_depth(seen));
  json_object_set_boolean_member(node, "encrypted", bgfs_image_fact(seen, "encrypt") != NULL);
  json_object_set_string_member(node, "detect_zeroes", option_of(seen, "detect-zeroes"));
  json_object_set_object_member(node, "cache", cache_of(seen));
  json_object_set_object_member(node, "image", image_of(seen, flat));
  json_object_set_array_member(node, "children", children_of(seen));
  if (seen->bitmaps->len)
    json_object_set_array_member(node, "dirty-bitmaps", bitmaps_of(seen));
  set_limits(node);
  json_object_set_string_member(node, "write-state", bg_write_state_name(seen->state.write_state));
  bgfs_json_set_text(node, "reason", seen->state.reason);
  return node;
}

static bool shows_snapshot(const BgSeenNode *seen)
{
  return strchr(seen->name, '@');
}

static JsonNode *query_named_block_nodes(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)error;
  bool flat = json_object_get_boolean_member_with_default(arguments, "flat", FALSE);
  g_autoptr(BgInventory) inventory = bg_inventory_take(mount->graph);
  JsonArray *nodes = json_array_new();
  for (guint i = 0; i < inventory->nodes->len; i++) {
    const BgSeenNode *seen = inventory->nodes->pdata[i];
    if (!shows_snapshot(seen))
      json_array_add_object_element(nodes, describe(seen, flat));
  }
  return bgfs_json_of_array(nodes);
}

/* ── query-blockgraph ── */

static JsonNode *query_blockgraph(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)arguments;
  (void)error;
  return bg_query_values(mount->graph);
}

/* ── types ── */

static const BgfsQmpMember named_nodes_members[] = {
    {"flat", &bgfs_qmp_bool, true, "leave out what the images below are (default: false)"},
    {NULL},
};
static const BgfsQmpType named_nodes_type = {
    .kind = BGFS_QMP_OBJECT, .name = "QueryNamedBlockNodes", .members = named_nodes_members};

static const BgfsQmpMember cache_members[] = {
    {"writeback", &bgfs_qmp_bool, false, "always true"},
    {"direct", &bgfs_qmp_bool, false, "option cache.direct"},
    {"no-flush", &bgfs_qmp_bool, false, "option cache.no-flush"},
    {NULL},
};
static const BgfsQmpType cache_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockdevCacheInfo", .members = cache_members};

static const BgfsQmpMember child_members[] = {
    {"child", &bgfs_qmp_string, false, "what the parent calls it"},
    {"node-name", &bgfs_qmp_string, false, "the child"},
    {NULL},
};
static const BgfsQmpType child_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockdevChild", .members = child_members};
static const BgfsQmpType child_list = {.kind = BGFS_QMP_ARRAY, .name = "[BlockdevChild]", .element = &child_type};

static const BgfsQmpMember bitmap_members[] = {
    {"name", &bgfs_qmp_string, true, "its name"},
    {"count", &bgfs_qmp_int, false, "dirty bytes"},
    {"granularity", &bgfs_qmp_int, false, "bytes that one bit stands for"},
    {"recording", &bgfs_qmp_bool, false, "whether changes are marked"},
    {"busy", &bgfs_qmp_bool, false, "whether a job uses it"},
    {"persistent", &bgfs_qmp_bool, false, "whether the image keeps it"},
    {"inconsistent", &bgfs_qmp_bool, true, "whether it is not to be trusted: it can only be removed"},
    {NULL},
};
static const BgfsQmpType bitmap_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockDirtyInfo", .members = bitmap_members};
static const BgfsQmpType bitmap_list = {.kind = BGFS_QMP_ARRAY, .name = "[BlockDirtyInfo]", .element = &bitmap_type};

static const BgfsQmpMember node_members[] = {
    {"node-name", &bgfs_qmp_string, true, "the node, and its file in the mount"},
    {"drv", &bgfs_qmp_string, false, "the driver"},
    {"file", &bgfs_qmp_string, false, "the name of its storage"},
    {"ro", &bgfs_qmp_bool, false, "whether it is open read-only at this moment"},
    {"backing_file", &bgfs_qmp_string, true, "the backing file that the image names"},
    {"backing_file_depth", &bgfs_qmp_int, false, "number of images below"},
    {"encrypted", &bgfs_qmp_bool, false, "whether its data is encrypted"},
    {"detect_zeroes", &bgfs_qmp_string, false, "option detect-zeroes"},
    {"cache", &cache_type, false, "options cache.*"},
    {"image", &bgfs_qmp_any, false, "as qemu-img info --output=json has it"},
    {"children", &child_list, false, "the nodes below"},
    {"dirty-bitmaps", &bitmap_list, true, "its dirty bitmaps"},
    {"bps", &bgfs_qmp_int, false, "0"},
    {"bps_rd", &bgfs_qmp_int, false, "0"},
    {"bps_wr", &bgfs_qmp_int, false, "0"},
    {"iops", &bgfs_qmp_int, false, "0"},
    {"iops_rd", &bgfs_qmp_int, false, "0"},
    {"iops_wr", &bgfs_qmp_int, false, "0"},
    {"write_threshold", &bgfs_qmp_int, false, "0"},
    {"write-state", &bgfs_qmp_string, false, "whether its file can be opened for writing"},
    {"reason", &bgfs_qmp_string, false, "why, in words"},
    {NULL},
};
static const BgfsQmpType node_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockDeviceInfo", .members = node_members};
static const BgfsQmpType node_list = {.kind = BGFS_QMP_ARRAY, .name = "[BlockDeviceInfo]", .element = &node_type};

const BgfsQmpCommand bgfs_qmp_query_commands[] = {
    {"query-named-block-nodes", query_named_block_nodes, &named_nodes_type, &node_list, 0,
     "Lists the nodes, but those that show internal snapshots. Never waits for a change that is under way."},
    {"query-blockgraph", query_blockgraph, &bgfs_qmp_nothing, &bgfs_qmp_any, 0,
     "The whole graph, as .graph/nodes.json in the mount has it: nodes, children with permissions, users, write states "
     "with reasons. QEMU has no such command."},
    {NULL},
};
