#include "graph/blockdev.h"

#include "drivers/error.h"
#include "graph/escape.h"
#include "graph/json.h"

#include <errno.h>
#include <string.h>

#define MAX_LENGTH (1024 * 1024)
#define MAX_DEPTH  64

static bool add(BgDict *dict, const char *key, const char *value, GError **error)
{
  if (bg_dict_get(dict, key)) {
    g_autofree char *shown = bg_escape(key);
    bg_set_error(error, EINVAL, "The option '%s' is given twice", shown);
    return false;
  }
  bg_dict_set(dict, key, value);
  return true;
}

/* Dotted, every part of letters, digits, '-' and '_'. */
static bool check_key(const char *key, GError **error)
{
  unsigned depth = 1;
  for (const char *part = key;; part++) {
    size_t length = strspn(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    if (length == 0 || (part[length] && part[length] != '.')) {
      g_autofree char *shown = bg_escape(key);
      bg_set_error(error, EINVAL, "'%s' is not an option name", shown);
      return false;
    }
    if (!part[length])
      return true;
    if (++depth > MAX_DEPTH) {
      bg_set_error(error, EINVAL, "Options are nested more than %d deep", MAX_DEPTH);
      return false;
    }
    part += length;
  }
}

/* A child is either named (child=NODE) or described (child.option=…). */
static bool check_no_value_has_children(const BgDict *dict, GError **error)
{
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, (BgDict *)dict);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    g_autofree char *above = g_strdup(key);
    for (char *dot; (dot = strrchr(above, '.'));) {
      *dot = '\0';
      if (!bg_dict_get(dict, above))
        continue;
      bg_set_error(error, EINVAL, "'%s' and '%s' exclude each other", above, (char *)key);
      return false;
    }
  }
  return true;
}

/* ── key=value,… ── */

/* The value at *text up to a comma that is not doubled; *text goes behind it and that comma. */
static char *take_value(const char **text)
{
  GString *value = g_string_new(NULL);
  const char *c = *text;
  for (; *c && (*c != ',' || c[1] == ','); c++) {
    g_string_append_c(value, *c);
    c += *c == ',';
  }
  *text = *c ? c + 1 : c;
  return g_string_free(value, FALSE);
}

static bool take_pair(BgDict *dict, const char **text, GError **error)
{
  size_t length = strcspn(*text, "=,");
  g_autofree char *key = g_strndup(*text, length);
  if ((*text)[length] != '=') {
    g_autofree char *shown = bg_escape(key);
    bg_set_error(error, EINVAL, "Expected '=' after '%s'", shown);
    return false;
  }
  if (!check_key(key, error))
    return false;
  *text += length + 1;
  g_autofree char *value = take_value(text);
  return add(dict, key, value, error);
}

static bool parse_pairs(BgDict *dict, const char *text, GError **error)
{
  while (*text)
    if (!take_pair(dict, &text, error))
      return false;
  return true;
}

/* ── {"key": value} ── */

char *bg_blockdev_value(JsonNode *value)
{
  switch (JSON_NODE_HOLDS_VALUE(value) ? json_node_get_value_type(value) : G_TYPE_INVALID) {
  case G_TYPE_STRING:
    return json_node_dup_string(value);
  case G_TYPE_BOOLEAN:
    return g_strdup(json_node_get_boolean(value) ? "on" : "off");
  case G_TYPE_INT64:
    return g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(value));
  default:
    return NULL;
  }
}

static bool flatten(BgDict *dict, const char *prefix, JsonObject *object, GError **error)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;
  json_object_iter_init_ordered(&iter, object);
  while (json_object_iter_next_ordered(&iter, &name, &value)) {
    g_autofree char *key = g_strconcat(prefix, name, NULL);
    if (!check_key(key, error))
      return false;
    JsonObject *inner = JSON_NODE_HOLDS_OBJECT(value) ? json_node_get_object(value) : NULL;
    if (inner && json_object_get_size(inner) > 0) {
      g_autofree char *below = g_strconcat(key, ".", NULL);
      if (!flatten(dict, below, inner, error))
        return false;
      continue;
    }
    g_autofree char *text = JSON_NODE_HOLDS_NULL(value) ? g_strdup("") : bg_blockdev_value(value);
    if (!text) {
      bg_set_error(error, EINVAL, "The value of '%s' is an empty object, a list or a fraction, which no option takes",
                   key);
      return false;
    }
    if (!add(dict, key, text, error))
      return false;
  }
  return true;
}

BgDict *bg_blockdev_from_json(JsonObject *object, GError **error)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  if (!flatten(dict, "", object, error) || !check_no_value_has_children(dict, error))
    return NULL;
  return g_steal_pointer(&dict);
}

static BgDict *parse_json(const char *text, GError **error)
{
  g_autoptr(JsonNode) root = bg_json_parse(text, MAX_DEPTH, error);
  return root ? bg_blockdev_from_json(json_node_get_object(root), error) : NULL;
}

static BgDict *parse_keys(const char *text, GError **error)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  if (!parse_pairs(dict, text, error) || !check_no_value_has_children(dict, error))
    return NULL;
  return g_steal_pointer(&dict);
}

BgDict *bg_blockdev_parse(const char *text, GError **error)
{
  if (strnlen(text, MAX_LENGTH + 1) > MAX_LENGTH) {
    bg_set_error(error, EINVAL, "The options are longer than %d bytes", MAX_LENGTH);
    return NULL;
  }
  return text[0] == '{' ? parse_json(text, error) : parse_keys(text, error);
}
