#include "graph/blockdev.h"

#include "drivers/error.h"
#include "graph/json.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(blockdev, .timeout = 30);

/* `expected` as "key=value|key=value", every key of the dictionary. */
static void check(const char *text, const char *expected)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgDict) dict = bg_blockdev_parse(text, &error);
  cr_assert_not_null(dict, "%s: %s", text, error ? error->message : "");
  g_auto(GStrv) pairs = g_strsplit(expected, "|", -1);
  for (char **pair = pairs; *pair; pair++) {
    char *equals = strchr(*pair, '=');
    *equals = '\0';
    const char *value = bg_dict_get(dict, *pair);
    cr_assert_not_null(value, "%s has no %s", text, *pair);
    cr_assert_str_eq(value, equals + 1);
  }
  cr_assert_eq(g_hash_table_size(dict), g_strv_length(pairs));
}

static void check_refused(const char *text, const char *words)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgDict) dict = bg_blockdev_parse(text, &error);
  cr_assert_null(dict, "%s", text);
  cr_assert(g_error_matches(error, BG_ERROR, EINVAL), "%s", text);
  cr_assert(strstr(error->message, words), "%s: %s", text, error->message);
  cr_assert(!strchr(error->message, '\n'));
}

Test(blockdev, pairs)
{
  check("driver=qcow2,file.driver=file,file.filename=/x/disk.qcow2",
        "driver=qcow2|file.driver=file|file.filename=/x/disk.qcow2");
  check("node-name=a,cache.direct=on", "node-name=a|cache.direct=on");
  check("driver=raw,", "driver=raw");
}

/* As QEMU has it: an enumeration, or an object of booleans. */
Test(blockdev, an_object_in_the_place_of_a_value)
{
  check("{\"driver\": \"qcow2\", \"overlap-check\": \"none\"}", "driver=qcow2|overlap-check=none");
  check("{\"overlap-check\": {\"template\": \"none\", \"main-header\": true, \"active-l2\": false}}",
        "overlap-check.template=none|overlap-check.main-header=on|overlap-check.active-l2=off");
}

Test(blockdev, values_of_pairs)
{
  check("file=a=b", "file=a=b");
  check("filename=a,,b,driver=file", "filename=a,b|driver=file");
  check("filename=,,,,", "filename=,,");
  check("backing=,driver=raw", "backing=|driver=raw");
  check("backing=", "backing=");
}

Test(blockdev, pairs_that_are_none)
{
  check_refused("qcow2", "Expected '=' after 'qcow2'");
  check_refused("driver=raw,read-only", "Expected '=' after 'read-only'");
  check_refused("=x", "not an option name");
  check_refused(",driver=raw", "Expected '=' after ''");
  check_refused("driver=raw,=x", "not an option name");
  check_refused("a..b=x", "'a..b' is not an option name");
  check_refused(".a=x", "not an option name");
  check_refused("a.=x", "not an option name");
  check_refused("a b=x", "not an option name");
  check_refused("a\nb=x", "'a\\nb'");
}

Test(blockdev, options_given_twice)
{
  check_refused("driver=raw,driver=raw", "'driver' is given twice");
  check_refused("{\"driver\":\"raw\",\"driver\":\"raw\"}", "'driver' is given twice");
  check_refused("{\"file\":{\"driver\":\"x\"},\"file.driver\":\"x\"}", "'file.driver' is given twice");
}

Test(blockdev, a_child_is_named_or_described)
{
  check_refused("file=node,file.driver=file", "exclude each other");
  check_refused("{\"a\":{\"b\":{\"c\":1}},\"a.b\":2}", "exclude each other");
  check("file=node,file2.driver=x,fil.e=y", "file=node|file2.driver=x|fil.e=y");
}

Test(blockdev, json)
{
  check("{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"/a,b\"}}",
        "driver=qcow2|file.driver=file|file.filename=/a,b");
  check("{\"read-only\":true,\"discard\":false,\"backing\":null,\"file\":\"\"}",
        "read-only=on|discard=off|backing=|file=");
  check("{\"size\":9223372036854775807,\"offset\":-1,\"file.x\":0}", "size=9223372036854775807|offset=-1|file.x=0");
  check("{\"filename\":\"\\u00e4\\\"\"}", "filename=\xc3\xa4\"");
}

Test(blockdev, json_that_no_option_takes)
{
  check_refused("{\"children\":[1]}", "'children'");
  check_refused("{\"size\":1.5}", "'size'");
  check_refused("{\"file\":{}}", "'file'");
  check_refused("{\"size\":18446744073709551615}", "too large");
  check_refused("{\"\":1}", "not an option name");
  check_refused("{\"a\":{\"\":1}}", "not an option name");
  check_refused("{\"driver\":\"raw\"", "");
  check_refused("{\"driver\":\"raw\"} x", "");
}

Test(blockdev, size_and_depth_are_bounded)
{
  GString *text = g_string_new("a=");
  for (unsigned i = 0; i < 1024 * 1024; i++)
    g_string_append_c(text, 'x');
  check_refused(text->str, "longer than");
  g_string_assign(text, "{\"a\":");
  for (unsigned i = 0; i < 64; i++)
    g_string_append(text, "{\"a\":");
  check_refused(text->str, "too deep");
  g_string_assign(text, "a");
  for (unsigned i = 0; i < 64; i++)
    g_string_append(text, ".a");
  g_string_append(text, "=x");
  check_refused(text->str, "deep");
  g_string_free(text, TRUE);
}

static void check_value(const char *json, const char *expected)
{
  g_autofree char *text = g_strdup_printf("{\"a\": %s}", json);
  g_autoptr(JsonNode) root = bg_json_parse(text, 64, NULL);
  g_autofree char *value = bg_blockdev_value(json_object_get_member(json_node_get_object(root), "a"));
  cr_assert_eq(g_strcmp0(value, expected), 0, "%s: %s", json, value);
}

Test(blockdev, single_values)
{
  check_value("\"x\"", "x");
  check_value("true", "on");
  check_value("false", "off");
  check_value("-12", "-12");
  check_value("null", NULL);
  check_value("1.5", NULL);
  check_value("[]", NULL);
  check_value("{}", NULL);
}
