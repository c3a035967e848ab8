#include "fs/qmp/schema-entry.h"

JsonObject *bgfs_qmp_schema_begin(BgfsQmpSchema *schema, const char *name, const char *meta_type)
{
  if (g_hash_table_contains(schema->names, name))
    return NULL;
  g_hash_table_add(schema->names, g_strdup(name));
  JsonObject *entry = json_object_new();
  json_object_set_string_member(entry, "name", name);
  json_object_set_string_member(entry, "meta-type", meta_type);
  json_array_add_object_element(schema->entries, entry);
  return entry;
}

const char *bgfs_qmp_schema_name(BgfsQmpSchema *schema, const char *name)
{
  gpointer stored = NULL;
  g_hash_table_lookup_extended(schema->names, name, &stored, NULL);
  return stored;
}

void bgfs_qmp_schema_member(JsonArray *members, const char *name, const char *type, bool optional)
{
  JsonObject *member = json_object_new();
  json_object_set_string_member(member, "name", name);
  json_object_set_string_member(member, "type", type);
  if (optional)
    json_object_set_null_member(member, "default");
  json_array_add_object_element(members, member);
}

const char *bgfs_qmp_schema_enum(BgfsQmpSchema *schema, const char *name, const char *const *values)
{
  JsonObject *entry = bgfs_qmp_schema_begin(schema, name, "enum");
  if (entry) {
    JsonArray *words = json_array_new();
    for (; *values; values++)
      json_array_add_string_element(words, *values);
    json_object_set_array_member(entry, "values", words);
  }
  return bgfs_qmp_schema_name(schema, name);
}

const char *bgfs_qmp_schema_builtin(BgfsQmpSchema *schema, const BgfsQmpType *type)
{
  static const char *const json_types[] = {
      [BGFS_QMP_STRING] = "string", [BGFS_QMP_INT] = "int",   [BGFS_QMP_NUMBER] = "number",
      [BGFS_QMP_BOOL] = "boolean",  [BGFS_QMP_NULL] = "null", [BGFS_QMP_ANY] = "value"};
  JsonObject *entry = bgfs_qmp_schema_begin(schema, type->name, "builtin");
  if (entry)
    json_object_set_string_member(entry, "json-type", json_types[type->kind]);
  return bgfs_qmp_schema_name(schema, type->name);
}
