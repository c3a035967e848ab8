#include "fs/ctl/values.h"

#include "graph/escape.h"

#include <stdarg.h>

static JsonNode *member(JsonObject *object, const char *name)
{
  return object ? json_object_get_member(object, name) : NULL;
}

static JsonNode *scalar(JsonObject *object, const char *name, GType type)
{
  JsonNode *value = member(object, name);
  return value && JSON_NODE_HOLDS_VALUE(value) && json_node_get_value_type(value) == type ? value : NULL;
}

const char *bgfs_ctl_text(JsonObject *object, const char *name)
{
  JsonNode *value = scalar(object, name, G_TYPE_STRING);
  return value ? json_node_get_string(value) : NULL;
}

int64_t bgfs_ctl_number(JsonObject *object, const char *name, int64_t fallback)
{
  JsonNode *value = scalar(object, name, G_TYPE_INT64);
  return value ? json_node_get_int(value) : fallback;
}

bool bgfs_ctl_bool(JsonObject *object, const char *name)
{
  JsonNode *value = scalar(object, name, G_TYPE_BOOLEAN);
  return value && json_node_get_boolean(value);
}

JsonObject *bgfs_ctl_object(JsonObject *object, const char *name)
{
  JsonNode *value = member(object, name);
  return value && JSON_NODE_HOLDS_OBJECT(value) ? json_node_get_object(value) : NULL;
}

JsonArray *bgfs_ctl_array(JsonObject *object, const char *name)
{
  JsonNode *value = member(object, name);
  return value && JSON_NODE_HOLDS_ARRAY(value) ? json_node_get_array(value) : NULL;
}

unsigned bgfs_ctl_length(JsonArray *array)
{
  return array ? json_array_get_length(array) : 0;
}

JsonObject *bgfs_ctl_element(JsonArray *array, unsigned index)
{
  JsonNode *value = json_array_get_element(array, index);
  return JSON_NODE_HOLDS_OBJECT(value) ? json_node_get_object(value) : NULL;
}

JsonObject *bgfs_ctl_arguments(const char *name, ...)
{
  JsonObject *arguments = json_object_new();
  va_list list;
  va_start(list, name);
  for (; name; name = va_arg(list, const char *)) {
    const char *text = va_arg(list, const char *);
    if (text)
      json_object_set_string_member(arguments, name, text);
  }
  va_end(list);
  return arguments;
}

char *bgfs_ctl_shown(const char *text)
{
  return bg_escape(text ? text : "");
}
