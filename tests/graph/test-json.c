#include "graph/json.h"

#include "drivers/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(json, .timeout = 30);

static void check_refused(const char *text, const char *words)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(JsonNode) node = bg_json_parse(text, 8, &error);
  cr_assert_null(node, "%s", text);
  cr_assert(g_error_matches(error, BG_ERROR, EINVAL), "%s", text);
  cr_assert(strstr(error->message, words), "%s: %s", text, error->message);
  cr_assert(!strchr(error->message, '\n'));
}

static void check_taken(const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(JsonNode) node = bg_json_parse(text, 8, &error);
  cr_assert_not_null(node, "%s: %s", text, error ? error->message : "");
}

Test(json, values)
{
  check_taken("{}");
  check_taken(" { \"a\" : [ 1 , -2.5e+3, 0, -0, true, false, null, \"x\\n\\\"\\u00e4\" ] }\n");
  check_taken("9223372036854775807");
  check_taken("-9223372036854775808");
  check_taken("[[[[[[[[]]]]]]]]");
}

Test(json, what_is_none)
{
  static const char *const texts[] = {"",           "  ",       "{",          "}",           "[1,2",
                                      "{\"a\"}",    "{\"a\":}", "{'a':1}",    "{a:1}",       "{\"a\":1} {\"b\":2}",
                                      "{\"a\":1}}", "[1] // x", "/* x */ {}", "var x = {}",  "truex",
                                      "tru",        "01",       "0x10",       "1a",          "+1",
                                      ".5",         "1.",       "1e",         "-",           "\"open",
                                      "\"\\",       "\"a\nb\"", "[1,]",       "{\"a\":1,}",  "[\xff]",
                                      "NaN",        "[}",       "[1 2]",      "\"a\" \"b\"", "{\"a\":\"b\\nc\":1}"};
  for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
    check_refused(texts[i], "");
}

Test(json, integers_that_do_not_fit)
{
  check_refused("9223372036854775808", "too large");
  check_refused("-9223372036854775809", "too large");
  check_refused("{\"a\": 100000000000000000000000000000}", "too large");
}

Test(json, members_given_twice)
{
  check_refused("{\"a\":1,\"a\":1}", "'a' is given twice");
  check_refused("{\"x\":{\"a\":1,\"b\":2,\"a\":{}}}", "'a' is given twice");
  check_refused("{\"a\":{},\"\\u0061\":{}}", "'a' is given twice");
  check_taken("{\"a\":{\"a\":1},\"b\":{\"a\":1}}");
}

Test(json, embedded_zeros)
{
  check_refused("\"a\\u0000b\"", "Not a JSON value");
  check_taken("\"a\\\\u0000b\"");
}

Test(json, depth_is_bounded_before_anything_recurses)
{
  check_refused("[[[[[[[[[]]]]]]]]]", "too deep");
  GString *deep = g_string_new(NULL);
  for (unsigned i = 0; i < 1000000; i++)
    g_string_append_c(deep, '[');
  check_refused(deep->str, "too deep");
  g_string_free(deep, TRUE);
}

Test(json, errors_name_the_place)
{
  check_refused("{\"a\": bad}", "byte 6");
}
