#include "graph/json-writer.h"

#include "graph/escape.h"

#include <string.h>

enum { INDENT = 2 };

static void write_text(BgJsonWriter *writer, const char *text)
{
  writer->write(writer->data, text, strlen(text));
}

static void new_line(BgJsonWriter *writer)
{
  g_autofree char *line = g_strdup_printf("\n%*s", (int)writer->depth * INDENT, "");
  write_text(writer, line);
}

/* What stands before a value. */
static void begin_value(BgJsonWriter *writer, const char *name)
{
  if (writer->filled)
    write_text(writer, ",");
  if (writer->depth)
    new_line(writer);
  writer->filled = true;
  if (!name)
    return;
  g_autoptr(JsonNode) node = json_node_init_string(json_node_alloc(), name);
  g_autofree char *quoted = json_to_string(node, FALSE);
  write_text(writer, quoted);
  write_text(writer, " : ");
}

static void end_value(BgJsonWriter *writer)
{
  if (writer->depth)
    return;
  write_text(writer, "\n");
  writer->filled = false;
}

void bg_json_begin(BgJsonWriter *writer, const char *name, char bracket)
{
  begin_value(writer, name);
  writer->write(writer->data, &bracket, 1);
  writer->depth++;
  writer->filled = false;
}

void bg_json_end(BgJsonWriter *writer, char bracket)
{
  writer->depth--;
  if (writer->filled)
    new_line(writer);
  writer->write(writer->data, &bracket, 1);
  writer->filled = true;
  end_value(writer);
}

/* Line by line, for the lines behind the first begin further right. In JSON a line never ends within a text. */
void bg_json_put(BgJsonWriter *writer, const char *name, JsonNode *value)
{
  g_autofree char *text = json_to_string(value, TRUE);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  json_node_unref(value);
  begin_value(writer, name);
  for (char **line = lines; *line; line++) {
    if (line > lines)
      new_line(writer);
    write_text(writer, *line);
  }
  end_value(writer);
}

void bg_json_put_members(BgJsonWriter *writer, JsonObject *object)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;
  json_object_iter_init_ordered(&iter, object);
  while (json_object_iter_next_ordered(&iter, &name, &value))
    bg_json_put(writer, name, json_node_ref(value));
}

JsonNode *bg_json_take(JsonBuilder *builder)
{
  JsonNode *root = json_builder_get_root(builder);
  json_builder_reset(builder);
  return root;
}

void bg_json_add_text(JsonBuilder *builder, const char *name, const char *text)
{
  g_autofree char *shown = text && !g_utf8_validate(text, -1, NULL) ? bg_escape(text) : g_strdup(text);
  json_builder_set_member_name(builder, name);
  json_builder_add_string_value(builder, shown);
}

void bg_json_add_number(JsonBuilder *builder, const char *name, int64_t number)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_int_value(builder, number);
}

void bg_json_add_bool(JsonBuilder *builder, const char *name, bool value)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_boolean_value(builder, value);
}
