#include "fs/ctl/snapshots.h"

#include "drivers/error.h"
#include "fs/ctl/values.h"

#include <errno.h>

static uint64_t count(JsonObject *object, const char *name)
{
  return (uint64_t)MAX(bgfs_ctl_number(object, name, 0), 0);
}

static BgSnapshot *snapshot_of(JsonObject *object)
{
  const char *id = bgfs_ctl_text(object, "id"), *name = bgfs_ctl_text(object, "name");
  BgSnapshot *snapshot = g_new0(BgSnapshot, 1);
  snapshot->id = g_strdup(id ? id : "");
  snapshot->name = g_strdup(name ? name : "");
  snapshot->size = count(object, "disk-size");
  snapshot->vm_state_size = count(object, "vm-state-size");
  snapshot->date_sec = (uint32_t)count(object, "date-sec");
  snapshot->date_nsec = (uint32_t)count(object, "date-nsec");
  snapshot->vm_clock_nsec = count(object, "vm-clock-sec") * 1000000000 + count(object, "vm-clock-nsec");
  snapshot->icount = (uint64_t)bgfs_ctl_number(object, "icount", -1);
  return snapshot;
}

GPtrArray *bgfs_ctl_snapshots_parse(JsonNode *nodes, const char *node, GError **error)
{
  JsonArray *list = JSON_NODE_HOLDS_ARRAY(nodes) ? json_node_get_array(nodes) : NULL;
  for (unsigned i = 0; i < bgfs_ctl_length(list); i++) {
    JsonObject *found = bgfs_ctl_element(list, i);
    if (g_strcmp0(bgfs_ctl_text(found, "node-name"), node) != 0)
      continue;
    JsonArray *snapshots = bgfs_ctl_array(bgfs_ctl_object(found, "image"), "snapshots");
    GPtrArray *all = bg_snapshot_list_new();
    for (unsigned j = 0; j < bgfs_ctl_length(snapshots); j++)
      g_ptr_array_add(all, snapshot_of(bgfs_ctl_element(snapshots, j)));
    return all;
  }
  bg_set_error(error, ENOENT, "there is no such node");
  return NULL;
}

GPtrArray *bgfs_ctl_snapshots_query(BgfsCtl *ctl, const char *node, GError **error)
{
  JsonObject *arguments = json_object_new();
  json_object_set_boolean_member(arguments, "flat", TRUE);
  g_autoptr(JsonNode) nodes = bgfs_ctl_client_call(ctl->client, "query-named-block-nodes", arguments, error);
  return nodes ? bgfs_ctl_snapshots_parse(nodes, node, error) : NULL;
}
