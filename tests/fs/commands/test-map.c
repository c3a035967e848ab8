#include "fs/commands/map.h"

#include "graph/json.h"
#include "tests/fs/commands/command.h"

#include <criterion/criterion.h>
#include <string.h>

#define KIB 1024

static Scratch scratch;

static void set_up(void)
{
  scratch_init(&scratch, NULL, NULL);
}

static void tear_down(void)
{
  scratch_clear(&scratch);
}

TestSuite(map, .init = set_up, .fini = tear_down, .timeout = 60);

/* "START+LENGTH DEPTH FLAGS": p present, z zero, d data, o with an offset. */
static char *shape(const char *json)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(JsonNode) root = bg_json_parse(json, 8, &error);
  cr_assert_not_null(root, "%s: %s", error ? error->message : "", json);
  JsonArray *array = json_node_get_array(root);
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < json_array_get_length(array); i++) {
    JsonObject *one = json_array_get_object_element(array, i);
    cr_assert_not(json_object_get_boolean_member(one, "compressed"));
    g_string_append_printf(
        text, "%d+%d %d %s%s%s%s\n", (int)json_object_get_int_member(one, "start") / KIB,
        (int)json_object_get_int_member(one, "length") / KIB, (int)json_object_get_int_member(one, "depth"),
        json_object_get_boolean_member(one, "present") ? "p" : "",
        json_object_get_boolean_member(one, "zero") ? "z" : "", json_object_get_boolean_member(one, "data") ? "d" : "",
        json_object_has_member(one, "offset") ? "o" : "");
  }
  return g_string_free(text, FALSE);
}

static void expect_shape(const char *expected, const char *image)
{
  g_auto(Said) said = COMMAND(&scratch, bgfs_map, "--json", image);
  cr_assert_eq(said.status, 0, "%s", said.err);
  g_autofree char *seen = shape(said.out);
  cr_assert_str_eq(seen, expected);
  cr_assert_str_empty(said.err);
}

Test(map, of_a_chain)
{
  scratch_file(&scratch, "base", 128 * KIB, 'b');
  command_image(&scratch, "disk", 1024 * KIB, "base", 64 * KIB, 128 * KIB, 'd');
  expect_shape("0+64 1 pdo\n64+128 0 pdo\n192+832 0 z\n", "disk");
}

Test(map, of_a_disk_without_bytes)
{
  command_image(&scratch, "disk", 0, NULL, 0, 0, 0);
  g_auto(Said) said = COMMAND(&scratch, bgfs_map, "--json", "disk");
  cr_assert_eq(said.status, 0, "%s", said.err);
  cr_assert_str_eq(said.out, "[]\n");
}

Test(map, as_text)
{
  scratch_file(&scratch, "base\n", 128 * KIB, 'b');
  command_image(&scratch, "disk", 1024 * KIB, "base\n", 64 * KIB, 64 * KIB, 'd');
  g_auto(Said) said = COMMAND(&scratch, bgfs_map, "disk");
  g_auto(GStrv) lines = g_strsplit(said.out, "\n", -1);
  cr_assert_eq(said.status, 0, "%s", said.err);
  cr_assert_eq(g_strv_length(lines), 4, "a head and two places, nothing of holes: %s", said.out);
  cr_assert(g_str_has_prefix(lines[1], "0 ") && g_str_has_suffix(lines[1], "/base\\n"), "%s", lines[1]);
  cr_assert(g_str_has_prefix(lines[2], "0x10000 ") && g_str_has_suffix(lines[2], "/disk"), "%s", lines[2]);
}

Test(map, what_cannot_be_followed_is_an_error)
{
  g_autofree char *path = scratch_path(&scratch, "disk"), *bytes = NULL;
  gsize length;
  command_image(&scratch, "disk", 1024 * KIB, NULL, 0, 4096, 'd');
  cr_assert(g_file_get_contents(path, &bytes, &length, NULL));
  uint64_t l1;
  memcpy(&l1, bytes + 40, sizeof l1);
  bytes[GUINT64_FROM_BE(l1) + 6] |= 2; /* the L2 table lies at no cluster's beginning any more */
  cr_assert(g_file_set_contents(path, bytes, (gssize)length, NULL));
  g_auto(Said) said = COMMAND(&scratch, bgfs_map, "disk");
  cr_assert_eq(said.status, 1);
  cr_assert(g_str_has_suffix(said.err, "blockgraphfs map: disk: Input/output error\n"), "%s", said.err);
}
