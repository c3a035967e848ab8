#include "graph/query.h"

#include "graph/blockdev.h"
#include "graph/json.h"
#include "graph/user.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

static BgGraph *graph;

/*        disk (cow)
 *     file │      │ backing
 *   disk.file   base (cow)        alone (mem)
 *                 │ file
 *             base.file           all storage is mem */
static void set_up(void)
{
  graph = bg_graph_new(NULL, NULL, NULL);
  add_node(graph, "node-name=base,driver=cow,auto-read-only=on,file.driver=mem,file.disk=b");
  add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d,file.tag=7,backing=base");
  add_node(graph, "node-name=alone,driver=mem,disk=a,auto-read-only=on");
}

static void tear_down(void)
{
  cr_assert(bg_graph_close(graph, NULL));
  fake_drivers_reset();
}

TestSuite(query, .init = set_up, .fini = tear_down, .timeout = 30);

static JsonObject *node_named(JsonArray *nodes, const char *name)
{
  for (guint i = 0; i < json_array_get_length(nodes); i++) {
    JsonObject *node = json_array_get_object_element(nodes, i);
    if (strcmp(json_object_get_string_member(node, "node-name"), name) == 0)
      return node;
  }
  return NULL;
}

static JsonNode *parse(void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = bg_query_json(graph);
  cr_assert(g_str_has_suffix(text, "}\n"));
  JsonNode *root = bg_json_parse(text, 64, &error);
  cr_assert_not_null(root, "%s", error ? error->message : "");
  return root;
}

static JsonArray *nodes_of(JsonNode *root)
{
  return json_object_get_array_member(json_node_get_object(root), "nodes");
}

static char *words(JsonObject *object, const char *name)
{
  JsonArray *array = json_object_get_array_member(object, name);
  GString *out = g_string_new(NULL);
  for (guint i = 0; i < json_array_get_length(array); i++)
    g_string_append_printf(out, "%s%s", i ? " " : "", json_array_get_string_element(array, i));
  return g_string_free(out, FALSE);
}

Test(query, json_lists_parents_before_children)
{
  g_autoptr(JsonNode) root = parse();
  g_autoptr(GPtrArray) expected = bg_graph_nodes(graph);
  JsonArray *nodes = nodes_of(root);
  cr_assert_eq(json_array_get_length(nodes), expected->len);
  for (guint i = 0; i < expected->len; i++) {
    JsonObject *node = json_array_get_object_element(nodes, i);
    cr_assert_str_eq(json_object_get_string_member(node, "node-name"), bg_node_name(expected->pdata[i]));
  }
}

Test(query, json_tells_all_of_a_node)
{
  g_autoptr(JsonNode) root = parse();
  JsonObject *file = node_named(nodes_of(root), "disk.file");
  cr_assert_str_eq(json_object_get_string_member(file, "driver"), "mem");
  cr_assert_str_eq(json_object_get_string_member(file, "kind"), "protocol");
  cr_assert_str_eq(json_object_get_string_member(file, "filename"), "d");
  cr_assert_eq(json_object_get_int_member(file, "size"), 1 << 20);
  cr_assert_eq(json_object_get_boolean_member(file, "read-write"), FALSE);
  JsonObject *options = json_object_get_object_member(file, "options");
  cr_assert_str_eq(json_object_get_string_member(options, "disk"), "d");
  cr_assert_eq(json_object_get_int_member(options, "tag"), 7);
  cr_assert_eq(json_object_get_boolean_member(options, "read-only"), FALSE);
  cr_assert_eq(json_object_get_boolean_member(options, "auto-read-only"), TRUE);
  cr_assert_str_eq(json_object_get_string_member(options, "discard"), "unmap");
  JsonObject *info = json_object_get_object_member(file, "info");
  cr_assert_eq(json_object_get_int_member(info, "capacity"), 8 << 20);
}

Test(query, json_tells_children_and_their_permissions)
{
  g_autoptr(JsonNode) root = parse();
  JsonObject *disk = node_named(nodes_of(root), "disk");
  JsonArray *children = json_object_get_array_member(disk, "children");
  cr_assert_eq(json_array_get_length(children), 2);
  JsonObject *file = json_array_get_object_element(children, 0), *backing = json_array_get_object_element(children, 1);
  g_autofree char *roles = words(file, "roles"), *cow = words(backing, "roles"), *shared = words(backing, "shared");
  g_autofree char *perm = words(file, "perm");
  cr_assert_str_eq(json_object_get_string_member(file, "node-name"), "disk.file");
  cr_assert_str_eq(roles, "data metadata primary");
  cr_assert_str_eq(perm, "consistent-read");
  cr_assert_str_eq(json_object_get_string_member(backing, "name"), "backing");
  cr_assert_str_eq(json_object_get_string_member(backing, "node-name"), "base");
  cr_assert_str_eq(cow, "cow");
  cr_assert_str_eq(shared, "consistent-read write write-unchanged resize");
}

Test(query, json_tells_users_and_states)
{
  BgUser *user = bg_user_new(bg_graph_find(graph, "disk"), "file 'disk'", BG_PERM_WRITE, BG_USER_WRITE_SHARED, NULL);
  cr_assert_not_null(user);
  g_autoptr(JsonNode) root = parse();
  JsonObject *disk = node_named(nodes_of(root), "disk"), *base = node_named(nodes_of(root), "base");
  JsonObject *seen = json_array_get_object_element(json_object_get_array_member(disk, "users"), 0);
  g_autofree char *perm = words(seen, "perm"), *shared = words(seen, "shared");
  cr_assert_str_eq(json_object_get_string_member(seen, "what"), "file 'disk'");
  cr_assert_str_eq(perm, "write");
  cr_assert_str_eq(shared, "consistent-read write-unchanged");
  cr_assert_eq(json_object_get_boolean_member(disk, "read-write"), TRUE);
  cr_assert_str_eq(json_object_get_string_member(disk, "write-state"), "writable");
  cr_assert_eq(json_object_get_int_member(disk, "errno"), 0);
  cr_assert_eq(json_object_get_boolean_member(base, "read-write"), FALSE);
  cr_assert_str_eq(json_object_get_string_member(base, "write-state"), "blocked");
  cr_assert_eq(json_object_get_int_member(base, "errno"), EBUSY);
  cr_assert(strstr(json_object_get_string_member(base, "reason"), "disk"));
  bg_user_free(user);
}

Test(query, names_from_outside_do_no_harm)
{
  add_node(graph, "node-name=odd,driver=mem,auto-read-only=on,disk=a\n\"\\\x1b\xff");
  g_autoptr(JsonNode) root = parse();
  cr_assert_not_null(json_object_get_string_member(node_named(nodes_of(root), "odd"), "filename"));
}

Test(query, tree_indents_children)
{
  g_autofree char *text = bg_query_tree(graph);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  cr_assert_eq(g_strv_length(lines), 6, "%s", text);
  cr_assert(g_str_has_prefix(lines[0], "disk (cow, open read-only, available: "), "%s", text);
  cr_assert(g_str_has_prefix(lines[1], "  file: disk.file (mem, open read-only, blocked: "), "%s", text);
  cr_assert(g_str_has_prefix(lines[2], "  backing: base (cow, "), "%s", text);
  cr_assert(g_str_has_prefix(lines[3], "    file: base.file (mem, "), "%s", text);
  cr_assert(g_str_has_prefix(lines[4], "alone (mem, "), "%s", text);
  cr_assert_str_empty(lines[5]);
}

Test(query, tree_describes_shared_nodes_once)
{
  add_node(graph, "node-name=other,driver=cow,auto-read-only=on,file.driver=mem,file.disk=o,backing=base");
  g_autofree char *text = bg_query_tree(graph);
  cr_assert(strstr(text, "  backing: base (see above)\n"), "%s", text);
  cr_assert(strstr(text, "base.file (mem"));
  cr_assert_null(strstr(strstr(text, "base.file (mem") + 1, "base.file (mem"));
}

Test(query, dot_is_a_graph)
{
  BgUser *user = bg_user_new(bg_graph_find(graph, "disk"), "file \"x\"\n", BG_PERM_WRITE, BG_USER_WRITE_SHARED, NULL);
  cr_assert_not_null(user);
  g_autofree char *text = bg_query_dot(graph);
  cr_assert(g_str_has_prefix(text, "digraph blockgraph {\n") && g_str_has_suffix(text, "}\n"));
  cr_assert(strstr(text, "\"disk\" [label=\"disk\\ncow\\nopen read-write, writable\""), "%s", text);
  cr_assert(strstr(text, "\"disk\" -> \"base\" [label=\"backing\"];"), "%s", text);
  cr_assert(strstr(text, "\"disk\" -> \"disk.file\" [label=\"file\", style=bold];"), "%s", text);
  cr_assert(strstr(text, "\"1\" [shape=ellipse, label=\"file \\\"x\\\"\\\\n\"];"), "%s", text);
  cr_assert(strstr(text, "\"1\" -> \"disk\" [style=bold];"), "%s", text);
  bg_user_free(user);
}

static void *change_all_the_time(void *data)
{
  int *stop = data;
  BgNode *disk = bg_graph_find(graph, "disk");
  while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
    g_autoptr(BgDict) options =
        bg_blockdev_parse("node-name=new,driver=cow,auto-read-only=on,file.driver=mem,file.disk=n,"
                          "backing=base",
                          NULL);
    BgNode *made = bg_graph_add(graph, options, NULL);
    cr_assert_not_null(made);
    BgUser *user = bg_user_new(disk, "writer", BG_PERM_WRITE, BG_USER_WRITE_SHARED, NULL);
    cr_assert_not_null(user);
    bg_user_free(user);
    cr_assert(bg_graph_remove(graph, made, NULL));
  }
  return NULL;
}

Test(query, while_the_graph_changes)
{
  int stop = 0;
  pthread_t thread;
  pthread_create(&thread, NULL, change_all_the_time, &stop);
  for (unsigned i = 0; i < 60; i++) {
    g_autoptr(JsonNode) root = parse();
    JsonArray *nodes = nodes_of(root);
    cr_assert_not_null(node_named(nodes, "disk"));
    guint count = json_array_get_length(nodes);
    cr_assert(count == 5 || count == 6 || count == 7, "%u nodes", count);
    g_autofree char *tree = bg_query_tree(graph), *dot = bg_query_dot(graph);
    cr_assert(strstr(tree, "alone (mem") && strstr(dot, "\"alone\""));
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  pthread_join(thread, NULL);
}

Test(query, an_empty_graph)
{
  BgGraph *empty = bg_graph_new(NULL, NULL, NULL);
  g_autofree char *json = bg_query_json(empty), *tree = bg_query_tree(empty), *dot = bg_query_dot(empty);
  g_autoptr(JsonNode) root = bg_json_parse(json, 64, NULL);
  cr_assert_eq(json_array_get_length(nodes_of(root)), 0);
  cr_assert_str_empty(tree);
  cr_assert_str_eq(dot, "digraph blockgraph {\n  node [shape=box];\n}\n");
  cr_assert(bg_graph_close(empty, NULL));
}

static char *as_text(JsonNode *node)
{
  char *text = json_to_string(node, FALSE);
  json_node_unref(node);
  return text;
}

Test(query, bitmaps_as_qmp_has_them)
{
  const BgBitmapInfo sound = {.name = (char *)"b", .granularity = 512, .count = 1024, .recording = true};
  const BgBitmapInfo spoilt = {.name = (char *)"c", .granularity = 512, .persistent = true, .inconsistent = true};
  g_autofree char *one = as_text(bg_query_bitmap(&sound)), *other = as_text(bg_query_bitmap(&spoilt));
  cr_assert_str_eq(one, "{\"name\":\"b\",\"count\":1024,\"granularity\":512,\"recording\":true,\"busy\":false,"
                        "\"persistent\":false}");
  cr_assert_str_eq(other, "{\"name\":\"c\",\"count\":0,\"granularity\":512,\"recording\":false,\"busy\":false,"
                          "\"persistent\":true,\"inconsistent\":true}");
}
