#include "fs/qmp/command.h"

#include "fs/image-info.h"
#include "graph/stats.h"

#include <string.h>

/* ── query-blockstats ── */

/* How QEMU calls members of each kind: "rd_bytes", "invalid_rd_operations". */
static const char *const prefixes[BG_STATS_KINDS] = {
    [BG_STATS_READ] = "rd", [BG_STATS_WRITE] = "wr", [BG_STATS_FLUSH] = "flush", [BG_STATS_UNMAP] = "unmap"};

static void set(JsonObject *stats, const char *before, BgStatsKind kind, const char *after, uint64_t value)
{
  g_autofree char *name = g_strconcat(before, prefixes[kind], after, NULL);
  json_object_set_int_member(stats, name, (gint64)value);
}

static JsonObject *stats_of(const BgSeenNode *seen)
{
  BgNodeStats counted;
  bg_node_stats(seen->node, &counted);
  JsonObject *stats = json_object_new();
  for (BgStatsKind kind = 0; kind < BG_STATS_KINDS; kind++) {
    const BgRequestStats *requests = &counted.requests[kind];
    bool has_bytes = kind != BG_STATS_FLUSH;
    if (has_bytes) {
      set(stats, "", kind, "_bytes", requests->bytes);
      set(stats, "", kind, "_merged", 0);
    }
    set(stats, "", kind, "_operations", requests->operations);
    set(stats, "", kind, "_total_time_ns", requests->nanoseconds);
    set(stats, "failed_", kind, "_operations", requests->failed);
    set(stats, "invalid_", kind, "_operations", requests->invalid);
  }
  json_object_set_int_member(stats, "wr_highest_offset", (gint64)counted.written_up_to);
  json_object_set_boolean_member(stats, "account_invalid", TRUE);
  json_object_set_boolean_member(stats, "account_failed", TRUE);
  json_object_set_array_member(stats, "timed_stats", json_array_new());
  return stats;
}

static JsonObject *describe(const BgSeenNode *seen)
{
  JsonObject *node = json_object_new();
  bgfs_json_set_text(node, "device", seen->name);
  bgfs_json_set_text(node, "node-name", seen->name);
  json_object_set_object_member(node, "stats", stats_of(seen));
  return node;
}

/* With what it stands on; disks below disks may be many. */
static JsonObject *describe_chain(const BgSeenNode *seen)
{
  JsonObject *top = NULL, *above = NULL;
  for (; seen; seen = bgfs_image_child(seen, "backing")) {
    JsonObject *node = describe(seen);
    const BgSeenNode *file = bgfs_image_child(seen, "file");
    if (file)
      json_object_set_object_member(node, "parent", describe(file));
    if (above)
      json_object_set_object_member(above, "backing", node);
    top = top ? top : node;
    above = node;
  }
  return top;
}

static JsonNode *query_blockstats(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)error;
  bool every = json_object_get_boolean_member_with_default(arguments, "query-nodes", FALSE);
  g_autoptr(BgInventory) inventory = bg_inventory_take(mount->graph);
  JsonArray *list = json_array_new();
  for (guint i = 0; i < inventory->nodes->len; i++) {
    const BgSeenNode *seen = inventory->nodes->pdata[i];
    bool shows_snapshot = strchr(seen->name, '@');
    if (!shows_snapshot && (every || !seen->has_parent))
      json_array_add_object_element(list, every ? describe(seen) : describe_chain(seen));
  }
  return bgfs_json_of_array(list);
}

/* ── types ── */

static const BgfsQmpMember query_members[] = {
    {"query-nodes", &bgfs_qmp_bool, true,
     "every node by itself, not only those on top with what is below (default: false)"},
    {NULL},
};
static const BgfsQmpType query_type = {.kind = BGFS_QMP_OBJECT, .name = "QueryBlockstats", .members = query_members};

static const BgfsQmpMember stats_members[] = {
    {"rd_bytes", &bgfs_qmp_int, false, "bytes read"},
    {"rd_merged", &bgfs_qmp_int, false, "0"},
    {"rd_operations", &bgfs_qmp_int, false, "reads that were done"},
    {"rd_total_time_ns", &bgfs_qmp_int, false, "time that reads took, all together"},
    {"failed_rd_operations", &bgfs_qmp_int, false, "reads that failed"},
    {"invalid_rd_operations", &bgfs_qmp_int, false, "reads that were refused"},
    {"wr_bytes", &bgfs_qmp_int, false, "bytes written, as zeros, too"},
    {"wr_merged", &bgfs_qmp_int, false, "0"},
    {"wr_operations", &bgfs_qmp_int, false, "writes that were done"},
    {"wr_total_time_ns", &bgfs_qmp_int, false, "time that writes took, all together"},
    {"failed_wr_operations", &bgfs_qmp_int, false, "writes that failed"},
    {"invalid_wr_operations", &bgfs_qmp_int, false, "writes that were refused: past the end"},
    {"flush_operations", &bgfs_qmp_int, false, "flushes that were done: fsync, and the last writer leaving"},
    {"flush_total_time_ns", &bgfs_qmp_int, false, "time that flushes took, all together"},
    {"failed_flush_operations", &bgfs_qmp_int, false, "flushes that failed"},
    {"invalid_flush_operations", &bgfs_qmp_int, false, "0"},
    {"unmap_bytes", &bgfs_qmp_int, false, "bytes of holes that were punched"},
    {"unmap_merged", &bgfs_qmp_int, false, "0"},
    {"unmap_operations", &bgfs_qmp_int, false, "holes that were punched"},
    {"unmap_total_time_ns", &bgfs_qmp_int, false, "time that this took, all together"},
    {"failed_unmap_operations", &bgfs_qmp_int, false, "holes that failed"},
    {"invalid_unmap_operations", &bgfs_qmp_int, false, "holes that were refused"},
    {"wr_highest_offset", &bgfs_qmp_int, false,
     "end of the highest bytes written since the node was opened, also by nodes above and jobs"},
    {"account_invalid", &bgfs_qmp_bool, false, "true"},
    {"account_failed", &bgfs_qmp_bool, false, "true: times are also those of what failed"},
    {"timed_stats", &bgfs_qmp_anys, false, "empty"},
    {NULL},
};
static const BgfsQmpType stats_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockDeviceStats", .members = stats_members};

static const BgfsQmpMember node_members[] = {
    {"device", &bgfs_qmp_string, false, "the node"},
    {"node-name", &bgfs_qmp_string, false, "the node"},
    {"stats", &stats_type, false, "its counters"},
    {"parent", &bgfs_qmp_any, true, "the same of its child file"},
    {"backing", &bgfs_qmp_any, true, "the same of its backing disk"},
    {NULL},
};
static const BgfsQmpType node_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockStats", .members = node_members};
static const BgfsQmpType node_list = {.kind = BGFS_QMP_ARRAY, .name = "[BlockStats]", .element = &node_type};

const BgfsQmpCommand bgfs_qmp_stats_commands[] = {
    {"query-blockstats", query_blockstats, &query_type, &node_list, 0,
     "Counts what programs asked of each node's file since it was opened. What a node asks of those below it, jobs, "
     "and "
     "I/O that goes around the daemon (passthrough) are not counted. Never waits for a change that is under way."},
    {NULL},
};
