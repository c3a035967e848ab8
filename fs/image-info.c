#include "fs/image-info.h"

#include "graph/escape.h"
#include "graph/query.h"

#include <string.h>

GVariant *bgfs_image_fact(const BgSeenNode *seen, const char *name)
{
  for (guint i = 0; i < seen->facts->len; i++) {
    const BgSeenFact *one = seen->facts->pdata[i];
    if (strcmp(one->name, name) == 0)
      return one->value;
  }
  return NULL;
}

const char *bgfs_image_text_fact(const BgSeenNode *seen, const char *name)
{
  GVariant *value = bgfs_image_fact(seen, name);
  return value ? g_variant_get_string(value, NULL) : NULL;
}

const BgSeenNode *bgfs_image_child(const BgSeenNode *seen, const char *name)
{
  for (guint i = 0; i < seen->edges->len; i++) {
    const BgSeenEdge *edge = seen->edges->pdata[i];
    if (strcmp(edge->name, name) == 0)
      return edge->child;
  }
  return NULL;
}

char *bgfs_image_full_name(const char *filename, const char *reference)
{
  const char *slash = strrchr(filename, '/');
  if (g_path_is_absolute(reference) || !slash)
    return g_strdup(reference);
  return g_strdup_printf("%.*s%s", (int)(slash - filename + 1), filename, reference);
}

void bgfs_json_set_text(JsonObject *object, const char *member, const char *text)
{
  g_autofree char *shown = g_utf8_validate(text, -1, NULL) ? NULL : bg_escape(text);
  json_object_set_string_member(object, member, shown ? shown : text);
}

JsonNode *bgfs_json_of_object(JsonObject *object)
{
  JsonNode *node = json_node_new(JSON_NODE_OBJECT);
  json_node_take_object(node, object);
  return node;
}

JsonNode *bgfs_json_of_array(JsonArray *array)
{
  JsonNode *node = json_node_new(JSON_NODE_ARRAY);
  json_node_take_array(node, array);
  return node;
}

static void set_fact(JsonObject *object, const char *name, GVariant *value)
{
  json_object_set_member(object, name, json_gvariant_serialize(value));
}

/* Facts that stand elsewhere in the report, or under another name. */
static bool is_general(const char *name)
{
  static const char *const names[] = {"cluster-size", "dirty", "backing-file", "backing-format", NULL};
  return g_strv_contains(names, name);
}

static void set_specific(JsonObject *image, const BgSeenNode *seen)
{
  if (!bgfs_image_fact(seen, "compat"))
    return;
  JsonObject *specific = json_object_new(), *data = json_object_new();
  bgfs_json_set_text(specific, "type", seen->driver->name);
  for (guint i = 0; i < seen->facts->len; i++) {
    const BgSeenFact *one = seen->facts->pdata[i];
    if (!is_general(one->name))
      set_fact(data, one->name, one->value);
  }
  json_object_set_object_member(specific, "data", data);
  json_object_set_object_member(image, "format-specific", specific);
}

static void set_backing(JsonObject *image, const BgSeenNode *seen, const char *filename)
{
  const char *backing = bgfs_image_text_fact(seen, "backing-file");
  const char *format = bgfs_image_text_fact(seen, "backing-format");
  if (!backing)
    return;
  g_autofree char *full = bgfs_image_full_name(filename, backing);
  bgfs_json_set_text(image, "backing-filename", backing);
  bgfs_json_set_text(image, "full-backing-filename", full);
  if (format)
    bgfs_json_set_text(image, "backing-filename-format", format);
}

JsonObject *bgfs_image_facts(const BgSeenNode *seen, const char *filename)
{
  JsonObject *image = json_object_new();
  const BgSeenNode *storage = bgfs_image_child(seen, "file");
  GVariant *dirty = bgfs_image_fact(seen, "dirty");
  GVariant *cluster_size = bgfs_image_fact(seen, "cluster-size");
  bgfs_json_set_text(image, "filename", filename);
  bgfs_json_set_text(image, "format", seen->driver->name);
  json_object_set_int_member(image, "virtual-size", seen->size);
  if (storage && storage->allocated >= 0)
    json_object_set_int_member(image, "actual-size", storage->allocated);
  if (cluster_size)
    set_fact(image, "cluster-size", cluster_size);
  if (bgfs_image_fact(seen, "encrypt"))
    json_object_set_boolean_member(image, "encrypted", TRUE);
  json_object_set_boolean_member(image, "dirty-flag", dirty && g_variant_get_boolean(dirty));
  set_backing(image, seen, filename);
  set_specific(image, seen);
  return image;
}

JsonObject *bgfs_image_info(const BgSeenNode *seen, const char *filename)
{
  JsonObject *image = bgfs_image_facts(seen, filename);
  if (!seen->snapshot_count)
    return image;
  JsonArray *snapshots = json_array_sized_new(seen->snapshots->len);
  for (guint i = 0; i < seen->snapshots->len; i++)
    json_array_add_element(snapshots, bg_query_snapshot(seen->snapshots->pdata[i]));
  json_object_set_array_member(image, "snapshots", snapshots);
  return image;
}
