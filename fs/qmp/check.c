#include "fs/qmp/check.h"

#include "fs/qmp/check-blockdev.h"
#include "fs/qmp/check-scalar.h"

#include <string.h>

static bool check_value(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error);

static bool check_elements(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error)
{
  if (!JSON_NODE_HOLDS_ARRAY(value))
    return bgfs_qmp_refuse_type(path, "array", error);
  JsonArray *array = json_node_get_array(value);
  for (guint i = 0; i < json_array_get_length(array); i++) {
    g_autofree char *element = g_strdup_printf("%s[%u]", path, i);
    if (!check_value(type->element, json_array_get_element(array, i), element, error))
      return false;
  }
  return true;
}

static const BgfsQmpType *variant_of(const BgfsQmpType *type, JsonObject *object)
{
  const char *value = type->tag ? json_object_get_string_member(object, type->tag) : NULL;
  for (const BgfsQmpVariant *variant = type->variants; value && variant->value; variant++)
    if (strcmp(variant->value, value) == 0)
      return variant->type;
  return NULL;
}

static const BgfsQmpMember *find_member(const BgfsQmpMember *members, const char *name)
{
  for (; members && members->name; members++)
    if (strcmp(members->name, name) == 0)
      return members;
  return NULL;
}

static bool check_given(const BgfsQmpMember *members, JsonObject *object, const char *prefix, GError **error)
{
  for (; members && members->name; members++) {
    JsonNode *value = json_object_get_member(object, members->name);
    if (!value && !members->optional)
      return bgfs_qmp_refuse_missing(prefix, members->name, error);
    g_autofree char *path = g_strconcat(prefix, members->name, NULL);
    if (value && !check_value(members->type, value, path, error))
      return false;
  }
  return true;
}

static bool check_unexpected(const BgfsQmpMember *members, const BgfsQmpMember *more, JsonObject *object,
                             const char *prefix, GError **error)
{
  JsonObjectIter iter;
  const char *name;
  json_object_iter_init_ordered(&iter, object);
  while (json_object_iter_next_ordered(&iter, &name, NULL))
    if (!find_member(members, name) && !find_member(more, name))
      return bgfs_qmp_refuse_unexpected(prefix, name, error);
  return true;
}

static bool check_object(const BgfsQmpType *type, JsonObject *object, const char *prefix, GError **error)
{
  if (type->kind == BGFS_QMP_BLOCKDEV_OPTIONS)
    return bgfs_qmp_check_blockdev(object, prefix, error);
  if (!check_given(type->members, object, prefix, error))
    return false;
  const BgfsQmpType *variant = variant_of(type, object);
  const BgfsQmpMember *more = variant ? variant->members : NULL;
  return check_given(more, object, prefix, error) && check_unexpected(type->members, more, object, prefix, error);
}

static bool check_object_value(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error)
{
  if (!JSON_NODE_HOLDS_OBJECT(value))
    return bgfs_qmp_refuse_type(path, "object", error);
  g_autofree char *prefix = g_strconcat(path, ".", NULL);
  return check_object(type, json_node_get_object(value), prefix, error);
}

static bool check_alternate(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error)
{
  for (const BgfsQmpType *const *one = type->alternatives; *one; one++)
    if (bgfs_qmp_looks_like(*one, value))
      return check_value(*one, value, path, error);
  return bgfs_qmp_refuse_type(path, type->name, error);
}

static bool check_value(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error)
{
  switch (type->kind) {
  case BGFS_QMP_ARRAY:
    return check_elements(type, value, path, error);
  case BGFS_QMP_OBJECT:
  case BGFS_QMP_BLOCKDEV_OPTIONS:
    return check_object_value(type, value, path, error);
  case BGFS_QMP_ALTERNATE:
    return check_alternate(type, value, path, error);
  default:
    return bgfs_qmp_check_scalar(type, value, path, error);
  }
}

bool bgfs_qmp_check_arguments(const BgfsQmpType *type, JsonObject *arguments, GError **error)
{
  return check_object(type, arguments, "", error);
}
