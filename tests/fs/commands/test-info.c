#include "fs/commands/info.h"

#include "graph/json.h"
#include "graph/snapshot.h"
#include "tests/fs/commands/command.h"

#include <criterion/criterion.h>
#include <string.h>

static Scratch scratch;

static void set_up(void)
{
  scratch_init(&scratch, NULL, NULL);
}

static void tear_down(void)
{
  scratch_clear(&scratch);
}

TestSuite(info, .init = set_up, .fini = tear_down, .timeout = 60);

static JsonNode *parse(const Said *said)
{
  g_autoptr(GError) error = NULL;
  cr_assert_eq(said->status, 0, "%s", said->err);
  JsonNode *root = bg_json_parse(said->out, 16, &error);
  cr_assert_not_null(root, "%s: %s", error ? error->message : "", said->out);
  return root;
}

static void take_snapshot(const char *image, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *options =
      g_strdup_printf("node-name=i,driver=qcow2,auto-read-only=on,backing=,file.driver=file,file.filename=@/%s", image);
  BgNode *node = scratch_add(&scratch, options);
  cr_assert(bg_node_snapshot_create(node, name, &error), "%s", error ? error->message : "");
  cr_assert(bg_graph_settle(scratch.graph, NULL));
  cr_assert(bg_graph_remove(scratch.graph, node, NULL));
}

Test(info, of_one_image)
{
  scratch_file(&scratch, "base", 4096, 'b');
  command_image(&scratch, "disk", 1 << 20, "base", 0, 4096, 'd');
  g_auto(Said) said = COMMAND(&scratch, bgfs_info, "--json", "disk");
  g_autoptr(JsonNode) root = parse(&said);
  JsonObject *image = json_node_get_object(root);
  cr_assert_str_eq(json_object_get_string_member(image, "filename"), "disk");
  cr_assert_str_eq(json_object_get_string_member(image, "format"), "qcow2");
  cr_assert_eq(json_object_get_int_member(image, "virtual-size"), 1 << 20);
  cr_assert_gt(json_object_get_int_member(image, "actual-size"), 65536);
  cr_assert_eq(json_object_get_int_member(image, "cluster-size"), 65536);
  cr_assert_not(json_object_get_boolean_member(image, "dirty-flag"));
  cr_assert_not(json_object_has_member(image, "encrypted"));
  cr_assert_not(json_object_has_member(image, "snapshots"));
  cr_assert_str_eq(json_object_get_string_member(image, "backing-filename"), "base");
  cr_assert_str_eq(json_object_get_string_member(image, "full-backing-filename"), "base");
  cr_assert_str_eq(json_object_get_string_member(image, "backing-filename-format"), "raw");
  JsonObject *specific = json_object_get_object_member(image, "format-specific");
  JsonObject *data = json_object_get_object_member(specific, "data");
  cr_assert_str_eq(json_object_get_string_member(specific, "type"), "qcow2");
  cr_assert_str_eq(json_object_get_string_member(data, "compat"), "1.1");
  cr_assert_not(json_object_has_member(data, "cluster-size"), "stands above already");
}

/* Names mean what they mean beside the image that has them. */
Test(info, of_a_chain)
{
  g_autofree char *disk = scratch_path(&scratch, "disk"), *base = scratch_path(&scratch, "base");
  scratch_file(&scratch, "base", 4096, 'b');
  command_image(&scratch, "disk", 1 << 20, "base", 0, 0, 0);
  g_auto(Said) said = COMMAND(&scratch, bgfs_info, "--json", "--backing-chain", disk);
  g_autoptr(JsonNode) root = parse(&said);
  JsonArray *images = json_node_get_array(root);
  cr_assert_eq(json_array_get_length(images), 2);
  JsonObject *first = json_array_get_object_element(images, 0), *second = json_array_get_object_element(images, 1);
  cr_assert_str_eq(json_object_get_string_member(first, "full-backing-filename"), base);
  cr_assert_str_eq(json_object_get_string_member(second, "filename"), base);
  cr_assert_str_eq(json_object_get_string_member(second, "format"), "raw");
  cr_assert_not(json_object_has_member(second, "format-specific"));
}

Test(info, of_snapshots)
{
  command_image(&scratch, "disk", 1 << 20, NULL, 0, 4096, 'd');
  take_snapshot("disk", "first");
  take_snapshot("disk", "a\"\n\xff");
  g_auto(Said) said = COMMAND(&scratch, bgfs_info, "--json", "disk");
  g_autoptr(JsonNode) root = parse(&said);
  JsonArray *snapshots = json_object_get_array_member(json_node_get_object(root), "snapshots");
  cr_assert_eq(json_array_get_length(snapshots), 2);
  JsonObject *first = json_array_get_object_element(snapshots, 0),
             *second = json_array_get_object_element(snapshots, 1);
  cr_assert_str_eq(json_object_get_string_member(first, "id"), "1");
  cr_assert_str_eq(json_object_get_string_member(first, "name"), "first");
  cr_assert_eq(json_object_get_int_member(first, "vm-state-size"), 0);
  cr_assert_gt(json_object_get_int_member(first, "date-sec"), 0);
  cr_assert_str_eq(json_object_get_string_member(second, "name"), "a\"\\n\\xff");
  g_auto(Said) text = COMMAND(&scratch, bgfs_info, "disk");
  cr_assert(strstr(text.out, "first") && strstr(text.out, "a\"\\n\\xff"), "%s", text.out);
}

Test(info, as_text)
{
  scratch_file(&scratch, "base", 4096, 'b');
  command_image(&scratch, "disk\n", 1 << 20, "base", 0, 0, 0);
  g_auto(Said) said = COMMAND(&scratch, bgfs_info, "--backing-chain", "disk\n");
  cr_assert_eq(said.status, 0, "%s", said.err);
  cr_assert(
      g_str_has_prefix(said.out, "image: disk\\n\nformat: qcow2\nsize of the disk: 1.0\xc2\xa0MiB (1048576 bytes)\n"),
      "%s", said.out);
  cr_assert(strstr(said.out, "\nbacking-file: base\n"), "%s", said.out);
  cr_assert(strstr(said.out, "\n\nimage: base\nformat: raw\n"), "%s", said.out);
  cr_assert_not(strstr(said.out, "Snapshot list"));
}

Test(info, of_nothing)
{
  g_auto(Said) said = COMMAND(&scratch, bgfs_info, "none");
  cr_assert_eq(said.status, 1);
  cr_assert_str_empty(said.out);
  cr_assert(g_str_has_prefix(said.err, "blockgraphfs info: none: "), "%s", said.err);
}
