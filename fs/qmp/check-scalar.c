#include "fs/qmp/check-scalar.h"

#include "fs/qmp/error.h"
#include "graph/escape.h"

/* ── refusals, in QEMU's words ── */

bool bgfs_qmp_refuse_missing(const char *prefix, const char *name, GError **error)
{
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter '%s%s' is missing", prefix, name);
  return false;
}

bool bgfs_qmp_refuse_unexpected(const char *prefix, const char *name, GError **error)
{
  g_autofree char *shown = bg_escape(name);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter '%s%s' is unexpected", prefix, shown);
  return false;
}

bool bgfs_qmp_refuse_type(const char *path, const char *expected, GError **error)
{
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Invalid parameter type for '%s', expected: %s", path, expected);
  return false;
}

bool bgfs_qmp_refuse_word(const char *path, const char *word, GError **error)
{
  g_autofree char *shown = bg_escape(word);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter '%s' does not accept value '%s'", path, shown);
  return false;
}

/* ── one value ── */

static bool holds(JsonNode *value, GType type)
{
  return JSON_NODE_HOLDS_VALUE(value) && json_node_get_value_type(value) == type;
}

bool bgfs_qmp_looks_like(const BgfsQmpType *type, JsonNode *value)
{
  switch (type->kind) {
  case BGFS_QMP_STRING:
  case BGFS_QMP_ENUM:
    return holds(value, G_TYPE_STRING);
  case BGFS_QMP_INT:
    return holds(value, G_TYPE_INT64);
  case BGFS_QMP_NUMBER:
    return holds(value, G_TYPE_INT64) || holds(value, G_TYPE_DOUBLE);
  case BGFS_QMP_BOOL:
    return holds(value, G_TYPE_BOOLEAN);
  case BGFS_QMP_NULL:
    return JSON_NODE_HOLDS_NULL(value);
  case BGFS_QMP_ARRAY:
    return JSON_NODE_HOLDS_ARRAY(value);
  case BGFS_QMP_OBJECT:
  case BGFS_QMP_BLOCKDEV_OPTIONS:
    return JSON_NODE_HOLDS_OBJECT(value);
  default:
    return true;
  }
}

static bool check_word(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error)
{
  if (!holds(value, G_TYPE_STRING))
    return bgfs_qmp_refuse_type(path, "string", error);
  const char *word = json_node_get_string(value);
  return g_strv_contains(type->values, word) || bgfs_qmp_refuse_word(path, word, error);
}

bool bgfs_qmp_check_scalar(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error)
{
  if (type->kind == BGFS_QMP_ENUM)
    return check_word(type, value, path, error);
  return bgfs_qmp_looks_like(type, value) || bgfs_qmp_refuse_type(path, bgfs_qmp_type_word(type), error);
}
