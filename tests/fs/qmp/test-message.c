#include "fs/qmp/message.h"

#include "drivers/error.h"
#include "fs/qmp/error.h"
#include "fs/qmp/framing.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static void assert_refused(const char *text, const char *wanted)
{
  g_auto(BgfsQmpRequest) request = {0};
  g_autoptr(GError) error = NULL;
  cr_assert_not(bgfs_qmp_request_parse(&request, text, &error), "%s", text);
  cr_assert(g_str_has_prefix(error->message, wanted), "%s: %s", text, error->message);
  cr_assert_str_eq(bgfs_qmp_error_class(error), "GenericError");
}

Test(message, requests_are_taken_apart)
{
  g_auto(BgfsQmpRequest) request = {0};
  cr_assert(bgfs_qmp_request_parse(&request, "{\"id\":[1],\"execute\":\"a\",\"arguments\":{\"x\":1}}", NULL));
  cr_assert_str_eq(request.execute, "a");
  cr_assert_eq(json_object_get_int_member(request.arguments, "x"), 1);
  cr_assert(JSON_NODE_HOLDS_ARRAY(request.id));
}

Test(message, arguments_and_id_may_be_missing)
{
  g_auto(BgfsQmpRequest) request = {0};
  cr_assert(bgfs_qmp_request_parse(&request, "{\"execute\":\"a\"}", NULL));
  cr_assert_eq(json_object_get_size(request.arguments), 0);
  cr_assert_null(request.id);
}

Test(message, what_is_no_request_is_refused_in_words_of_qemu)
{
  assert_refused("42", "QMP input must be a JSON object");
  assert_refused("[]", "QMP input must be a JSON object");
  assert_refused("{}", "QMP input lacks member 'execute'");
  assert_refused("{\"execute\":1}", "QMP input member 'execute' must be a string");
  assert_refused("{\"execute\":\"a\",\"arguments\":[]}", "QMP input member 'arguments' must be an object");
  assert_refused("{\"execute\":\"a\",\"x\":1}", "QMP input member 'x' is unexpected");
  assert_refused("{\"exec-oob\":\"a\"}", "QMP input member 'exec-oob' is unexpected");
  assert_refused("{\"execute\" \"a\"}", "JSON parse error, ");
  assert_refused("{\"execute\":}", "JSON parse error, ");
  assert_refused("{\"execute\":\"a\",\"execute\":\"b\"}", "JSON parse error, ");
  assert_refused("foo", "JSON parse error, ");
  assert_refused("{\"execute\":\"\xff\xfe\"}", "JSON parse error, ");
  assert_refused("{\"execute\":\"a\",\"id\":1e}", "JSON parse error, ");
}

Test(message, the_id_of_a_false_request_is_found)
{
  g_auto(BgfsQmpRequest) request = {0};
  cr_assert_not(bgfs_qmp_request_parse(&request, "{\"execute\":1,\"id\":\"x\"}", NULL));
  cr_assert_str_eq(json_node_get_string(request.id), "x");
}

Test(message, the_deepest_value_is_parsed, .timeout = 20)
{
  g_autoptr(GString) text = g_string_new("{\"execute\":\"a\",\"id\":");
  for (unsigned i = 1; i < BGFS_QMP_MAX_NESTING; i++)
    g_string_append_c(text, '[');
  for (unsigned i = 1; i < BGFS_QMP_MAX_NESTING; i++)
    g_string_append_c(text, ']');
  g_string_append_c(text, '}');
  g_auto(BgfsQmpRequest) request = {0};
  cr_assert(bgfs_qmp_request_parse(&request, text->str, NULL));
  g_autoptr(JsonNode) result = json_node_init_null(json_node_alloc());
  g_autofree char *answer = bgfs_qmp_answer(result, request.id);
  cr_assert(strstr(answer, "[[[["));
}

Test(message, answers_are_ascii_lines)
{
  g_autoptr(JsonNode) result = json_node_init_string(json_node_alloc(), "\xc3\xa9 \xf0\x9f\x98\x80 \n\x7f\"");
  g_autoptr(JsonNode) id = json_node_init_int(json_node_alloc(), 7);
  g_autofree char *answer = bgfs_qmp_answer(result, id);
  cr_assert_str_eq(answer, "{\"return\":\"\\u00e9 \\ud83d\\ude00 \\n\\u007f\\\"\",\"id\":7}\r\n");
}

Test(message, refusals_have_a_class)
{
  g_autoptr(GError) known = NULL, other = NULL;
  bgfs_qmp_set_error(&known, BGFS_QMP_COMMAND_NOT_FOUND, "no %s", "x");
  bg_set_error(&other, EBUSY, "bad \xff name");
  g_autofree char *a = bgfs_qmp_refusal(known, NULL), *b = bgfs_qmp_refusal(other, NULL);
  cr_assert_str_eq(a, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no x\"}}\r\n");
  cr_assert_str_eq(b, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"bad \\\\xff name\"}}\r\n");
}

Test(message, events_bear_their_time)
{
  g_autoptr(JsonObject) data = json_object_new();
  json_object_set_int_member(data, "x", 1);
  g_autofree char *event = bgfs_qmp_event("NAME", data, INT64_C(12000345));
  cr_assert_str_eq(event,
                   "{\"timestamp\":{\"seconds\":12,\"microseconds\":345},\"event\":\"NAME\",\"data\":{\"x\":1}}\r\n");
}

Test(message, the_greeting_tells_version_and_capabilities)
{
  g_autoptr(JsonNode) version = json_node_init_string(json_node_alloc(), "v");
  g_autofree char *greeting = bgfs_qmp_greeting(version);
  cr_assert_str_eq(greeting, "{\"QMP\":{\"version\":\"v\",\"capabilities\":[]}}\r\n");
}
