#include "fs/qmp/schema-blockdev.h"

#include "drivers/registry.h"
#include "graph/node-options.h"

#include <string.h>

static const char *option_type(BgfsQmpSchema *schema, const char *owner, const BgOption *option)
{
  switch (option->type) {
  case BG_OPTION_BOOL:
    return bgfs_qmp_schema_builtin(schema, &bgfs_qmp_bool);
  case BG_OPTION_UINT:
  case BG_OPTION_SIZE:
    return bgfs_qmp_schema_builtin(schema, &bgfs_qmp_int);
  case BG_OPTION_ENUM: {
    g_autofree char *name = g_strdup_printf("%s.%s", owner, option->name);
    return bgfs_qmp_schema_enum(schema, name, option->values);
  }
  default:
    return bgfs_qmp_schema_builtin(schema, &bgfs_qmp_string);
  }
}

static bool is_below(const char *name, const char *prefix)
{
  return strncmp(name, prefix, strlen(prefix)) == 0;
}

static void add_options(BgfsQmpSchema *schema, JsonArray *members, const char *owner, const BgOption *table,
                        const char *prefix);

/* The options "name.…" of the table as an object. */
static const char *group_type(BgfsQmpSchema *schema, const char *owner, const BgOption *table, const char *prefix)
{
  g_autofree char *name = g_strdup_printf("%s.%.*s", owner, (int)strlen(prefix) - 1, prefix);
  JsonObject *entry = bgfs_qmp_schema_begin(schema, name, "object");
  if (entry) {
    JsonArray *members = json_array_new();
    json_object_set_array_member(entry, "members", members);
    add_options(schema, members, owner, table, prefix);
  }
  return bgfs_qmp_schema_name(schema, name);
}

/* Whether an option before this one lies in the same group. */
static bool group_is_known(const BgOption *table, const BgOption *option, const char *prefix)
{
  for (; table < option; table++)
    if (is_below(table->name, prefix))
      return true;
  return false;
}

/* The options of the table below `prefix`, as members: "direct" for "cache.direct" below "cache.". */
static void add_options(BgfsQmpSchema *schema, JsonArray *members, const char *owner, const BgOption *table,
                        const char *prefix)
{
  for (const BgOption *option = table; option && option->name; option++) {
    if (!is_below(option->name, prefix))
      continue;
    const char *rest = option->name + strlen(prefix), *dot = strchr(rest, '.');
    if (!dot) {
      bgfs_qmp_schema_member(members, rest, option_type(schema, owner, option), !option->required);
      continue;
    }
    g_autofree char *group = g_strndup(option->name, (size_t)(dot + 1 - option->name));
    g_autofree char *name = g_strndup(rest, (size_t)(dot - rest));
    if (!group_is_known(table, option, group))
      bgfs_qmp_schema_member(members, name, group_type(schema, owner, table, group), true);
  }
}

static void add_alternative(JsonArray *list, const char *type)
{
  JsonObject *member = json_object_new();
  json_object_set_string_member(member, "type", type);
  json_array_add_object_element(list, member);
}

static const char *child_type(BgfsQmpSchema *schema, bool required)
{
  const char *name = required ? "BlockdevRef" : "BlockdevRefOrNull";
  JsonObject *entry = bgfs_qmp_schema_begin(schema, name, "alternate");
  if (entry) {
    JsonArray *list = json_array_new();
    json_object_set_array_member(entry, "members", list);
    add_alternative(list, bgfs_qmp_schema_blockdev(schema));
    add_alternative(list, bgfs_qmp_schema_builtin(schema, &bgfs_qmp_string));
    if (!required)
      add_alternative(list, bgfs_qmp_schema_builtin(schema, &bgfs_qmp_null));
  }
  return bgfs_qmp_schema_name(schema, name);
}

static const char *driver_type(BgfsQmpSchema *schema, const BgDriver *driver)
{
  g_autofree char *name = g_strdup_printf("BlockdevOptions-%s", driver->name);
  JsonObject *entry = bgfs_qmp_schema_begin(schema, name, "object");
  JsonArray *members = json_array_new();
  json_object_set_array_member(entry, "members", members);
  add_options(schema, members, name, driver->options, "");
  for (const BgChildSpec *spec = driver->children; spec && spec->name; spec++)
    bgfs_qmp_schema_member(members, spec->name, child_type(schema, spec->required), !spec->required);
  return bgfs_qmp_schema_name(schema, name);
}

static const char *drivers_type(BgfsQmpSchema *schema)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  for (const BgDriver *const *driver = bg_drivers(); *driver; driver++)
    g_ptr_array_add(names, (gpointer)(*driver)->name);
  g_ptr_array_add(names, NULL);
  return bgfs_qmp_schema_enum(schema, "BlockdevDriver", (const char *const *)names->pdata);
}

static void add_variants(BgfsQmpSchema *schema, JsonObject *entry)
{
  JsonArray *list = json_array_new();
  json_object_set_string_member(entry, "tag", "driver");
  json_object_set_array_member(entry, "variants", list);
  for (const BgDriver *const *driver = bg_drivers(); *driver; driver++) {
    JsonObject *variant = json_object_new();
    json_object_set_string_member(variant, "case", (*driver)->name);
    json_object_set_string_member(variant, "type", driver_type(schema, *driver));
    json_array_add_object_element(list, variant);
  }
}

const char *bgfs_qmp_schema_blockdev(BgfsQmpSchema *schema)
{
  static const char name[] = "BlockdevOptions";
  JsonObject *entry = bgfs_qmp_schema_begin(schema, name, "object");
  if (entry) {
    JsonArray *members = json_array_new();
    json_object_set_array_member(entry, "members", members);
    bgfs_qmp_schema_member(members, "driver", drivers_type(schema), false);
    bgfs_qmp_schema_member(members, "node-name", bgfs_qmp_schema_builtin(schema, &bgfs_qmp_string), true);
    add_options(schema, members, name, bg_node_options_table(), "");
    add_variants(schema, entry);
  }
  return bgfs_qmp_schema_name(schema, name);
}
