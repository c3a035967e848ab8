#include "fs/qmp/schema.h"

#include "fs/image-info.h"
#include "fs/qmp/command.h"
#include "fs/qmp/event-types.h"
#include "fs/qmp/schema-blockdev.h"
#include "fs/qmp/schema-entry.h"

/* ── types ── */

/* Adds a type, and those that it is made of, unless they are there. Its name, owned by the schema. */
static const char *add_type(BgfsQmpSchema *schema, const BgfsQmpType *type);

static void add_members(BgfsQmpSchema *schema, JsonObject *entry, const BgfsQmpMember *members)
{
  JsonArray *list = json_array_new();
  json_object_set_array_member(entry, "members", list);
  for (; members->name; members++)
    bgfs_qmp_schema_member(list, members->name, add_type(schema, members->type), members->optional);
}

static void add_variants(BgfsQmpSchema *schema, JsonObject *entry, const BgfsQmpType *type)
{
  JsonArray *list = json_array_new();
  json_object_set_string_member(entry, "tag", type->tag);
  json_object_set_array_member(entry, "variants", list);
  for (const BgfsQmpVariant *variant = type->variants; variant->value; variant++) {
    JsonObject *one = json_object_new();
    json_object_set_string_member(one, "case", variant->value);
    json_object_set_string_member(one, "type", add_type(schema, variant->type));
    json_array_add_object_element(list, one);
  }
}

static void add_object(BgfsQmpSchema *schema, const BgfsQmpType *type)
{
  JsonObject *entry = bgfs_qmp_schema_begin(schema, type->name, "object");
  if (!entry)
    return;
  add_members(schema, entry, type->members);
  if (type->tag)
    add_variants(schema, entry, type);
}

static void add_array(BgfsQmpSchema *schema, const BgfsQmpType *type)
{
  JsonObject *entry = bgfs_qmp_schema_begin(schema, type->name, "array");
  if (entry)
    json_object_set_string_member(entry, "element-type", add_type(schema, type->element));
}

static void add_alternate(BgfsQmpSchema *schema, const BgfsQmpType *type)
{
  JsonObject *entry = bgfs_qmp_schema_begin(schema, type->name, "alternate");
  if (!entry)
    return;
  JsonArray *list = json_array_new();
  json_object_set_array_member(entry, "members", list);
  for (const BgfsQmpType *const *one = type->alternatives; *one; one++) {
    JsonObject *member = json_object_new();
    json_object_set_string_member(member, "type", add_type(schema, *one));
    json_array_add_object_element(list, member);
  }
}

static const char *add_type(BgfsQmpSchema *schema, const BgfsQmpType *type)
{
  switch (type->kind) {
  case BGFS_QMP_BLOCKDEV_OPTIONS:
    return bgfs_qmp_schema_blockdev(schema);
  case BGFS_QMP_ENUM:
    return bgfs_qmp_schema_enum(schema, type->name, type->values);
  case BGFS_QMP_OBJECT:
    add_object(schema, type);
    break;
  case BGFS_QMP_ARRAY:
    add_array(schema, type);
    break;
  case BGFS_QMP_ALTERNATE:
    add_alternate(schema, type);
    break;
  default:
    return bgfs_qmp_schema_builtin(schema, type);
  }
  return bgfs_qmp_schema_name(schema, type->name);
}

/* ── commands and events ── */

static void add_command(BgfsQmpSchema *schema, const BgfsQmpCommand *command)
{
  JsonObject *entry = bgfs_qmp_schema_begin(schema, command->name, "command");
  json_object_set_string_member(entry, "arg-type", add_type(schema, command->arguments));
  json_object_set_string_member(entry, "ret-type", add_type(schema, command->result));
}

static void add_event(BgfsQmpSchema *schema, const BgfsQmpEventType *event)
{
  JsonObject *entry = bgfs_qmp_schema_begin(schema, event->name, "event");
  json_object_set_string_member(entry, "arg-type", add_type(schema, event->data));
}

JsonNode *bgfs_qmp_schema(void)
{
  g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  BgfsQmpSchema schema = {json_array_new(), names};
  for (const BgfsQmpCommand *const *table = bgfs_qmp_commands(); *table; table++)
    for (const BgfsQmpCommand *command = *table; command->name; command++)
      add_command(&schema, command);
  for (const BgfsQmpEventType *event = bgfs_qmp_event_types; event->name; event++)
    add_event(&schema, event);
  return bgfs_json_of_array(schema.entries);
}
