#include "fs/qmp/check-blockdev.h"

#include "drivers/registry.h"
#include "fs/qmp/check-scalar.h"
#include "graph/node-options.h"

#include <string.h>

/* A node whose options are checked. */
typedef struct Node {
  const BgDriver *driver;
  const char *prefix; /* in messages, of the node's own members */
} Node;

static bool is_text(JsonNode *value)
{
  return JSON_NODE_HOLDS_VALUE(value) && json_node_get_value_type(value) == G_TYPE_STRING;
}

static bool any_below(const BgOption *table, const char *name)
{
  size_t length = strlen(name);
  for (; table && table->name; table++)
    if (strncmp(table->name, name, length) == 0 && table->name[length] == '.')
      return true;
  return false;
}

static const BgChildSpec *find_child(const BgDriver *driver, const char *name)
{
  for (const BgChildSpec *spec = driver->children; spec && spec->name; spec++)
    if (strcmp(spec->name, name) == 0)
      return spec;
  return NULL;
}

static const BgfsQmpType *type_of(const BgOption *option)
{
  switch (option->type) {
  case BG_OPTION_BOOL:
    return &bgfs_qmp_bool;
  case BG_OPTION_UINT:
  case BG_OPTION_SIZE:
    return &bgfs_qmp_int;
  default:
    return &bgfs_qmp_string;
  }
}

static bool check_option(const BgOption *option, JsonNode *value, const char *path, GError **error)
{
  if (!bgfs_qmp_check_scalar(type_of(option), value, path, error))
    return false;
  if (option->type != BG_OPTION_ENUM || g_strv_contains(option->values, json_node_get_string(value)))
    return true;
  return bgfs_qmp_refuse_word(path, json_node_get_string(value), error);
}

/* A node's name, or a node written inline, or none. */
static bool check_child(JsonNode *value, const char *path, GError **error)
{
  if (is_text(value) || JSON_NODE_HOLDS_NULL(value))
    return true;
  if (!JSON_NODE_HOLDS_OBJECT(value))
    return bgfs_qmp_refuse_type(path, "BlockdevRef", error);
  g_autofree char *prefix = g_strconcat(path, ".", NULL);
  return bgfs_qmp_check_blockdev(json_node_get_object(value), prefix, error);
}

static bool check_options(const Node *node, JsonObject *object, const char *below, GError **error);

/* A member, called `name` in option tables: "cache.direct" where it is `direct` in `cache`. */
static bool check_member(const Node *node, const char *name, JsonNode *value, GError **error)
{
  g_autofree char *path = g_strconcat(node->prefix, name, NULL);
  const BgOption *option = bg_node_options_find(node->driver, name);
  if (option)
    return check_option(option, value, path, error);
  if (find_child(node->driver, name))
    return check_child(value, path, error);
  if (!any_below(node->driver->options, name) && !any_below(bg_node_options_table(), name))
    return bgfs_qmp_refuse_unexpected(node->prefix, name, error);
  if (!JSON_NODE_HOLDS_OBJECT(value))
    return bgfs_qmp_refuse_type(path, "object", error);
  g_autofree char *below = g_strconcat(name, ".", NULL);
  return check_options(node, json_node_get_object(value), below, error);
}

static bool check_options(const Node *node, JsonObject *object, const char *below, GError **error)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;
  json_object_iter_init_ordered(&iter, object);
  while (json_object_iter_next_ordered(&iter, &name, &value)) {
    g_autofree char *full = g_strconcat(below, name, NULL);
    bool of_every_node = strcmp(full, "driver") == 0 || strcmp(full, "node-name") == 0;
    if (!of_every_node && !check_member(node, full, value, error))
      return false;
  }
  return true;
}

static bool check_text(JsonObject *object, const char *prefix, const char *name, GError **error)
{
  g_autofree char *path = g_strconcat(prefix, name, NULL);
  JsonNode *value = json_object_get_member(object, name);
  return !value || bgfs_qmp_check_scalar(&bgfs_qmp_string, value, path, error);
}

bool bgfs_qmp_check_blockdev(JsonObject *object, const char *prefix, GError **error)
{
  if (!json_object_has_member(object, "driver"))
    return bgfs_qmp_refuse_missing(prefix, "driver", error);
  if (!check_text(object, prefix, "driver", error) || !check_text(object, prefix, "node-name", error))
    return false;
  const char *name = json_object_get_string_member(object, "driver");
  const Node node = {bg_driver_find(name), prefix};
  if (node.driver)
    return check_options(&node, object, "", error);
  g_autofree char *path = g_strconcat(prefix, "driver", NULL);
  return bgfs_qmp_refuse_word(path, name, error);
}
