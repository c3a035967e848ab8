#include "fs/qmp/message.h"

#include "drivers/error.h"
#include "fs/image-info.h"
#include "fs/qmp/error.h"
#include "fs/qmp/framing.h"
#include "graph/escape.h"
#include "graph/json.h"

#include <string.h>

/* ── requests ── */

static bool refuse_member(const char *name, const char *must, GError **error)
{
  g_autofree char *shown = bg_escape(name);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "QMP input member '%s' %s", shown, must);
  return false;
}

static bool take_member(BgfsQmpRequest *request, const char *name, JsonNode *value, GError **error)
{
  if (strcmp(name, "id") == 0)
    return true;
  if (strcmp(name, "arguments") == 0) {
    if (!JSON_NODE_HOLDS_OBJECT(value))
      return refuse_member(name, "must be an object", error);
    request->arguments = json_node_get_object(value);
    return true;
  }
  if (strcmp(name, "execute") != 0)
    return refuse_member(name, "is unexpected", error);
  if (!JSON_NODE_HOLDS_VALUE(value) || json_node_get_value_type(value) != G_TYPE_STRING)
    return refuse_member(name, "must be a string", error);
  request->execute = json_node_get_string(value);
  return true;
}

static bool take_members(BgfsQmpRequest *request, JsonObject *object, GError **error)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;
  request->id = json_object_get_member(object, "id");
  json_object_iter_init_ordered(&iter, object);
  while (json_object_iter_next_ordered(&iter, &name, &value))
    if (!take_member(request, name, value, error))
      return false;
  if (!request->execute)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "QMP input lacks member 'execute'");
  return request->execute;
}

static JsonNode *parse(const char *text, GError **error)
{
  g_autoptr(GError) syntax = NULL;
  if (!g_utf8_validate(text, -1, NULL)) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "JSON parse error, invalid UTF-8 sequence");
    return NULL;
  }
  JsonNode *root = bg_json_parse(text, BGFS_QMP_MAX_NESTING, &syntax);
  if (!root)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "JSON parse error, %s", syntax->message);
  return root;
}

bool bgfs_qmp_request_parse(BgfsQmpRequest *request, const char *text, GError **error)
{
  *request = (BgfsQmpRequest){.none = json_object_new()};
  request->arguments = request->none;
  request->root = parse(text, error);
  if (!request->root)
    return false;
  if (JSON_NODE_HOLDS_OBJECT(request->root) && take_members(request, json_node_get_object(request->root), error))
    return true;
  request->execute = NULL;
  if (!JSON_NODE_HOLDS_OBJECT(request->root))
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "QMP input must be a JSON object");
  return false;
}

void bgfs_qmp_request_clear(BgfsQmpRequest *request)
{
  g_clear_pointer(&request->root, json_node_unref);
  g_clear_pointer(&request->none, json_object_unref);
}

/* ── answers ── */

static void append_escaped(GString *line, gunichar c)
{
  if (c >= 0x10000) {
    c -= 0x10000;
    g_string_append_printf(line, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
  } else if (c == 0x7f || c >= 0x80) {
    g_string_append_printf(line, "\\u%04x", c);
  } else {
    g_string_append_c(line, (char)c);
  }
}

static char *line_of(JsonObject *object)
{
  g_autoptr(JsonNode) root = json_node_init_object(json_node_alloc(), object);
  g_autofree char *text = json_to_string(root, FALSE);
  GString *line = g_string_sized_new(strlen(text) + 2);
  for (const char *c = text; *c; c = g_utf8_next_char(c))
    append_escaped(line, g_utf8_get_char(c));
  g_string_append(line, "\r\n");
  return g_string_free(line, FALSE);
}

static void set_id(JsonObject *object, JsonNode *id)
{
  if (id)
    json_object_set_member(object, "id", json_node_copy(id));
}

char *bgfs_qmp_greeting(JsonNode *version)
{
  g_autoptr(JsonObject) greeting = json_object_new();
  JsonObject *inner = json_object_new();
  json_object_set_member(inner, "version", json_node_copy(version));
  json_object_set_array_member(inner, "capabilities", json_array_new());
  json_object_set_object_member(greeting, "QMP", inner);
  return line_of(greeting);
}

char *bgfs_qmp_answer(JsonNode *result, JsonNode *id)
{
  g_autoptr(JsonObject) answer = json_object_new();
  json_object_set_member(answer, "return", json_node_ref(result));
  set_id(answer, id);
  return line_of(answer);
}

char *bgfs_qmp_refusal(const GError *error, JsonNode *id)
{
  g_autoptr(JsonObject) refusal = json_object_new();
  JsonObject *inner = json_object_new();
  json_object_set_string_member(inner, "class", bgfs_qmp_error_class(error));
  bgfs_json_set_text(inner, "desc", error->message);
  json_object_set_object_member(refusal, "error", inner);
  set_id(refusal, id);
  return line_of(refusal);
}

char *bgfs_qmp_event(const char *name, JsonObject *data, int64_t time)
{
  g_autoptr(JsonObject) event = json_object_new();
  JsonObject *stamp = json_object_new();
  json_object_set_int_member(stamp, "seconds", time / G_USEC_PER_SEC);
  json_object_set_int_member(stamp, "microseconds", time % G_USEC_PER_SEC);
  json_object_set_object_member(event, "timestamp", stamp);
  json_object_set_string_member(event, "event", name);
  if (data)
    json_object_set_object_member(event, "data", json_object_ref(data));
  return line_of(event);
}
