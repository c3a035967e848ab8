#include "fs/ctl/draw.h"

#include "drivers/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static BgfsCtlNodes *nodes_of(const char *text)
{
  g_autoptr(GError) error = NULL;
  JsonNode *root = json_from_string(text, &error);
  cr_assert_not_null(root, "%s", error ? error->message : "");
  BgfsCtlNodes *nodes = bgfs_ctl_nodes_new(root, &error);
  cr_assert_not_null(nodes, "%s", error ? error->message : "");
  return nodes;
}

#define NODE(name, driver, rest) "{\"node-name\":\"" name "\",\"driver\":\"" driver "\"," rest "}"
#define STATE                    "\"read-write\":false,\"write-state\":\"available\",\"reason\":\"nobody writes\""
#define BLOCKED(name)                                                                                                  \
  "\"read-write\":false,\"write-state\":\"blocked\",\"reason\":\"node '" name "': a writer needs it\""
#define EDGE(name, node, role) "{\"name\":\"" name "\",\"node-name\":\"" node "\",\"roles\":[\"" role "\"]}"

static const char chain[] =
    "{\"nodes\":[" NODE("disk@old", "qcow2", STATE ",\"children\":[" EDGE("disk", "disk", "snapshot") "]") "," NODE(
        "disk", "qcow2",
        STATE ",\"size\":1024,\"children\":[" EDGE(
            "file", "disk.file", "primary") "," EDGE("backing",
                                                     "mid", "cow") "],\"users\":[{\"what\":\"file "
                                                                   "'disk'\",\"perm\":[\"consistent-read\",\"write\"]}"
                                                                   "]") "," NODE("disk.file", "file",
                                                                                 BLOCKED(
                                                                                     "disk.file")) "," NODE("mid",
                                                                                                            "throttle",
                                                                                                            STATE
                                                                                                            ",\"childre"
                                                                                                            "n\":"
                                                                                                            "[" EDGE(
                                                                                                                "file",
                                                                                                                "base",
                                                                                                                "filter"
                                                                                                                "ed") "]") "," NODE("base",
                                                                                                                                    "raw",
                                                                                                                                    STATE) "]}";

Test(nodes, finds_children_and_tops)
{
  g_autoptr(BgfsCtlNodes) nodes = nodes_of(chain);
  JsonObject *disk = bgfs_ctl_nodes_find(nodes, "disk", NULL);
  cr_assert_str_eq(bgfs_ctl_nodes_child(disk, "backing"), "mid");
  cr_assert_null(bgfs_ctl_nodes_child(disk, "data-file"));
  cr_assert_str_eq(bgfs_ctl_nodes_top(nodes, "base"), "disk");
  cr_assert_str_eq(bgfs_ctl_nodes_top(nodes, "disk"), "disk", "a snapshot stands on nothing's chain");
  cr_assert_str_eq(bgfs_ctl_nodes_top(nodes, "disk.file"), "disk.file");
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_ctl_nodes_find(nodes, "other", &error));
  cr_assert_eq(bg_error_errno(error), ENOENT);
}

Test(nodes, a_chain_that_divides_has_no_one_top)
{
  g_autoptr(BgfsCtlNodes) nodes =
      nodes_of("{\"nodes\":[" NODE("a", "qcow2", "\"children\":[" EDGE("backing", "base", "cow") "]") "," NODE(
          "b", "qcow2", "\"children\":[" EDGE("backing", "base", "cow") "]") "," NODE("base", "raw", STATE) "]}");
  cr_assert_str_eq(bgfs_ctl_nodes_top(nodes, "base"), "base");
}

Test(nodes, nonsense_is_refused)
{
  static const char *const texts[] = {"[]",
                                      "{}",
                                      "{\"nodes\":{}}",
                                      "{\"nodes\":[1]}",
                                      "{\"nodes\":[{}]}",
                                      "{\"nodes\":[{\"node-name\":\"a\"},{\"node-name\":\"a\"}]}"};
  for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autoptr(GError) error = NULL;
    cr_assert_null(bgfs_ctl_nodes_new(json_from_string(texts[i], NULL), &error), "%s", texts[i]);
    cr_assert_eq(bg_error_errno(error), EPROTO);
  }
}

static void assert_drawn(const char *text, const char *from, bool box, const char *wanted)
{
  g_autoptr(BgfsCtlNodes) nodes = nodes_of(text);
  g_autofree char *drawn = bgfs_ctl_draw(nodes, from, box);
  cr_assert_str_eq(drawn, wanted);
}

Test(draw, a_chain_with_its_states)
{
  assert_drawn(chain, NULL, false,
               "disk (qcow2, 1 KiB, open read-only) available: nobody writes\n"
               "|-- used by file 'disk' (writes)\n"
               "|-- file: disk.file (file, open read-only) blocked: a writer needs it\n"
               "`-- backing: mid (throttle, open read-only) available: nobody writes\n"
               "    `-- file: base (raw, open read-only) available: nobody writes\n"
               "disk@old (qcow2, open read-only) available: nobody writes\n"
               "`-- disk: disk (see above)\n");
}

Test(draw, boxes_and_a_part)
{
  assert_drawn(chain, "disk", true,
               "disk (qcow2, 1 KiB, open read-only) available: nobody writes\n"
               "├── used by file 'disk' (writes)\n"
               "├── file: disk.file (file, open read-only) blocked: a writer needs it\n"
               "└── backing: mid (throttle, open read-only) available: nobody writes\n"
               "    └── file: base (raw, open read-only) available: nobody writes\n");
}

Test(draw, hostile_graphs_end)
{
  assert_drawn("{\"nodes\":[" NODE("a", "d", STATE ",\"children\":[" EDGE("c", "b", "cow") "]") "," NODE(
                   "b", "d", STATE ",\"children\":[" EDGE("c", "a", "cow") "," EDGE("x", "gone", "cow") ",7]") "]}",
               "a", false,
               "a (d, open read-only) available: nobody writes\n"
               "`-- c: b (d, open read-only) available: nobody writes\n"
               "    |-- c: a (see above)\n"
               "    |-- x: gone\n"
               "    `-- : \n");
  g_autoptr(BgfsCtlNodes) nodes =
      nodes_of("{\"nodes\":[" NODE("a", "d", "\"children\":[" EDGE("c", "b", "cow") "]") "," NODE(
          "b", "d", "\"children\":[" EDGE("c", "a", "cow") "]") "]}");
  cr_assert_not_null(bgfs_ctl_nodes_top(nodes, "a"));
}
