#include "graph/json-writer.h"

#include "graph/json.h"

#include <criterion/criterion.h>

static void append(void *data, const char *text, size_t length)
{
  g_string_append_len(data, text, (gssize)length);
}

static GString *out;
static BgJsonWriter writer;

static void set_up(void)
{
  out = g_string_new(NULL);
  writer = (BgJsonWriter){append, out};
}

static void tear_down(void)
{
  g_string_free(out, TRUE);
}

TestSuite(json_writer, .init = set_up, .fini = tear_down, .timeout = 20);

static JsonNode *text(const char *content)
{
  return json_node_init_string(json_node_alloc(), content);
}

/* The same tree, built as a whole. */
static JsonNode *whole(void)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  bg_json_add_text(builder, "first", "a\n\"\\");
  json_builder_set_member_name(builder, "list");
  json_builder_begin_array(builder);
  json_builder_begin_object(builder);
  bg_json_add_number(builder, "n", -1);
  bg_json_add_bool(builder, "b", true);
  json_builder_end_object(builder);
  json_builder_begin_array(builder);
  json_builder_add_int_value(builder, 2);
  json_builder_end_array(builder);
  json_builder_end_array(builder);
  bg_json_add_text(builder, "last", NULL);
  json_builder_end_object(builder);
  return bg_json_take(builder);
}

Test(json_writer, pieces_are_written_as_the_whole_is)
{
  g_autoptr(JsonNode) expected = whole();
  g_autofree char *pretty = json_to_string(expected, TRUE);
  JsonObject *object = json_node_get_object(expected);
  JsonArray *list = json_object_get_array_member(object, "list");
  bg_json_begin(&writer, NULL, '{');
  bg_json_put(&writer, "first", text("a\n\"\\"));
  bg_json_begin(&writer, "list", '[');
  bg_json_put(&writer, NULL, json_array_dup_element(list, 0));
  bg_json_put(&writer, NULL, json_array_dup_element(list, 1));
  bg_json_end(&writer, ']');
  bg_json_put(&writer, "last", json_object_dup_member(object, "last"));
  bg_json_end(&writer, '}');
  g_autofree char *line = g_strconcat(pretty, "\n", NULL);
  cr_assert_str_eq(out->str, line);
}

Test(json_writer, a_value_by_itself)
{
  bg_json_put(&writer, NULL, whole());
  g_autoptr(JsonNode) expected = whole(), seen = bg_json_parse(out->str, 8, NULL);
  cr_assert_not_null(seen);
  cr_assert(json_node_equal(seen, expected));
  cr_assert(g_str_has_suffix(out->str, "}\n"));
}

Test(json_writer, members_of_an_object_into_another)
{
  g_autoptr(JsonNode) from = whole();
  bg_json_begin(&writer, NULL, '{');
  bg_json_put_members(&writer, json_node_get_object(from));
  bg_json_begin(&writer, "nothing", '[');
  bg_json_end(&writer, ']');
  bg_json_end(&writer, '}');
  g_autoptr(JsonNode) seen = bg_json_parse(out->str, 8, NULL);
  cr_assert_not_null(seen, "%s", out->str);
  JsonObject *object = json_node_get_object(seen);
  cr_assert_eq(json_object_get_size(object), 4);
  cr_assert_eq(json_array_get_length(json_object_get_array_member(object, "nothing")), 0);
  cr_assert_str_eq(json_object_get_string_member(object, "first"), "a\n\"\\");
}

Test(json_writer, bytes_that_are_no_text_are_escaped)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  bg_json_add_text(builder, "t", "a\xff");
  json_builder_end_object(builder);
  bg_json_put(&writer, NULL, bg_json_take(builder));
  g_autoptr(JsonNode) seen = bg_json_parse(out->str, 8, NULL);
  cr_assert_not_null(seen, "%s", out->str);
  cr_assert_str_eq(json_object_get_string_member(json_node_get_object(seen), "t"), "a\\xff");
}
