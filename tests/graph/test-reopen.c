#include "graph/blockdev.h"
#include "graph/node-options.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static BgGraph *graph;

static void set_up(void)
{
  graph = bg_graph_new(NULL, NULL, NULL);
}

static void tear_down(void)
{
  cr_assert(bg_graph_close(graph, NULL));
  fake_drivers_reset();
}

TestSuite(reopen, .init = set_up, .fini = tear_down, .timeout = 60);

static BgNode *node(const char *name)
{
  return find_node(graph, name);
}

static BgUser *user_of(const char *name, BgPerm perm)
{
  g_autoptr(GError) error = NULL;
  BgUser *user =
      bg_user_new(node(name), "user", perm, perm & BG_PERM_WRITE ? BG_USER_WRITE_SHARED : BG_USER_READ_SHARED, &error);
  cr_assert_not_null(user, "%s", error ? error->message : "");
  return user;
}

static char byte_at(BgUser *user, uint64_t offset)
{
  char byte = '?';
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_preadv(user, &iov, 1, offset), 1);
  return byte;
}

static void check_state(const char *name, BgWriteState expected)
{
  BgNodeState state;
  bg_node_state(node(name), &state);
  cr_assert_eq(state.write_state, expected, "%s is %s: %s", name, bg_write_state_name(state.write_state), state.reason);
  bg_node_state_clear(&state);
}

/* ── options and children, in words ── */

static char *option_of(const char *name, const char *option)
{
  const BgNode *found = node(name);
  const BgOption *common = bg_option_find(bg_node_options_table(), option);
  const BgOption *own = bg_option_find(found->driver->options, option);
  return bg_option_format(common ? common : own, common ? (const void *)&found->common : found->options);
}

static void check_option(const char *name, const char *option, const char *expected)
{
  g_autofree char *value = option_of(name, option);
  cr_assert_str_eq(value, expected, "%s: %s=%s", name, option, value);
}

static void describe_options(GString *text, const BgOption *table, const void *options)
{
  for (const BgOption *option = table; option && option->name; option++) {
    g_autofree char *value = bg_option_format(option, options);
    g_string_append_printf(text, " %s=%s", option->name, value);
  }
}

static char *describe(void)
{
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < nodes->len; i++) {
    const BgNode *each = nodes->pdata[i];
    g_string_append_printf(text, "%s%s: writable=%d", i ? "; " : "", each->name, each->mode.writable);
    describe_options(text, bg_node_options_table(), &each->common);
    describe_options(text, each->driver->options, each->options);
    for (guint j = 0; j < each->children->len; j++) {
      const BgEdge *edge = each->children->pdata[j];
      g_string_append_printf(text, " %s→%s", edge->child.name, edge->hold.node ? edge->hold.node->name : "");
    }
  }
  return g_string_free(text, FALSE);
}

/* ── reopening ── */

static bool reopen(GError **error, const char *first, const char *second)
{
  g_autoptr(BgDict) one = bg_blockdev_parse(first, NULL);
  g_autoptr(BgDict) two = second ? bg_blockdev_parse(second, NULL) : NULL;
  BgDict *options[] = {one, two};
  cr_assert(one && (two || !second));
  return bg_graph_reopen(graph, options, second ? 2 : 1, error);
}

static void check_reopen(const char *first, const char *second)
{
  g_autoptr(GError) error = NULL;
  cr_assert(reopen(&error, first, second), "%s", error ? error->message : "");
}

/* And changes nothing. */
static void reopen_fails(const char *first, const char *second, int err, const char *words)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *before = describe();
  cr_assert(!reopen(&error, first, second));
  cr_assert(g_error_matches(error, BG_ERROR, err), "%d: %s", error->code, error->message);
  cr_assert(strstr(error->message, words), "%s", error->message);
  g_autofree char *after = describe();
  cr_assert_str_eq(after, before);
}

/* ── named children ── */

/*   disk ── backing ── base        disk ── backing ── other
 *                        other  →                       base   */
Test(reopen, swaps_children)
{
  mem_disk("b")->data[0] = 'b';
  mem_disk("o")->data[0] = 'o';
  add_node(graph, "node-name=base,driver=mem,disk=b,auto-read-only=on");
  add_node(graph, "node-name=other,driver=mem,disk=o,auto-read-only=on");
  add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d,backing=base");
  BgUser *user = user_of("disk", BG_USER_READ_PERM);
  cr_assert_eq(byte_at(user, 0), 'b');
  check_state("base", BG_STATE_BLOCKED);
  check_reopen("node-name=disk,driver=cow,auto-read-only=on,backing=other", NULL);
  cr_assert_eq(byte_at(user, 0), 'o');
  check_state("base", BG_STATE_AVAILABLE);
  check_state("other", BG_STATE_BLOCKED);
  check_reopen("node-name=disk,driver=cow,auto-read-only=on,backing=", NULL);
  cr_assert_eq(byte_at(user, 0), 0);
  check_state("other", BG_STATE_AVAILABLE);
  bg_user_free(user);
}

/*   disk ── backing ── base ── backing ── (nothing)   base must not get disk */
Test(reopen, makes_no_node_its_own_child)
{
  add_chain(graph);
  reopen_fails("node-name=base,driver=cow,auto-read-only=on,backing=disk", NULL, ELOOP, "its own child");
  reopen_fails("node-name=base,driver=cow,auto-read-only=on,backing=base", NULL, ELOOP, "its own child");
  BgUser *user = user_of("disk", BG_USER_READ_PERM);
  cr_assert_eq(byte_at(user, 0), 0);
  bg_user_free(user);
}

/* ── all or nothing ── */

Test(reopen, is_taken_whole_or_not_at_all)
{
  add_chain(graph);
  reopen_fails("node-name=disk,driver=cow,read-only=on", "node-name=base,driver=cow,nonsense=1", EINVAL, "nonsense");
  reopen_fails("node-name=disk,driver=cow,read-only=on", "node-name=missing,driver=cow", ENOENT, "missing");
  reopen_fails("node-name=disk,driver=cow,read-only=on", "driver=cow", EINVAL, "node-name is missing");
  reopen_fails("node-name=disk,driver=cow,read-only=on", "node-name=disk,driver=cow", EINVAL, "'disk' is named twice");
  check_state("disk", BG_STATE_AVAILABLE);
  check_reopen("node-name=disk,driver=cow,read-only=on", "node-name=base,driver=cow,read-only=on");
  check_state("disk", BG_STATE_READ_ONLY);
  check_state("base", BG_STATE_READ_ONLY);
}

Test(reopen, leaves_writers_alone)
{
  add_chain(graph);
  BgUser *user = user_of("disk", BG_USER_READ_PERM | BG_PERM_WRITE);
  reopen_fails("node-name=disk,driver=cow,read-only=on", NULL, EROFS, "read-only=on");
  reopen_fails("node-name=disk,driver=cow,auto-read-only=on,file.disk=d,file.read-only=on", NULL, EROFS,
               "node 'disk.file' is read-only by its option");
  check_state("disk", BG_STATE_WRITABLE);
  bg_user_free(user);
}

Test(reopen, refuses_options_that_cannot_change)
{
  add_chain(graph);
  reopen_fails("node-name=disk.file,driver=mem,disk=other", NULL, EINVAL, "Cannot change the option 'disk'");
  check_reopen("node-name=disk.file,driver=mem,disk=d,tag=5,auto-read-only=on", NULL);
  reopen_fails("node-name=disk,driver=raw", NULL, EINVAL, "Cannot change the option 'driver'");
}

/* ── children that are written inline ── */

Test(reopen, reaches_children_that_are_written_inline)
{
  add_chain(graph);
  check_reopen("node-name=disk,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d,file.tag=7", NULL);
  check_option("disk.file", "tag", "7");
  check_reopen("node-name=disk,driver=cow,auto-read-only=on,file.node-name=disk.file,file.disk=d", NULL);
  check_option("disk.file", "tag", "0");
  check_reopen("node-name=disk,driver=cow,auto-read-only=on,backing.driver=cow,backing.auto-read-only=on,"
               "backing.file.disk=b,backing.file.tag=9",
               NULL);
  check_option("base.file", "tag", "9");
  cr_assert_eq(bg_node_child(node("disk"), "backing"), node("base"));
}

/* As when they were opened. */
Test(reopen, lets_inline_children_inherit)
{
  add_chain(graph);
  check_reopen("node-name=disk,driver=cow,read-only=on,file.disk=d", NULL);
  check_option("disk.file", "read-only", "on");
  check_reopen("node-name=disk,driver=cow,auto-read-only=on,file.disk=d", NULL);
  check_option("disk.file", "read-only", "off");
  check_option("disk.file", "auto-read-only", "on");
  check_reopen("node-name=disk,driver=cow,read-only=on,file.disk=d,file.read-only=off,file.auto-read-only=on", NULL);
  check_option("disk.file", "read-only", "off");
}

/* A node that the user opened by itself has its own options only; what was opened for it has its. */
Test(reopen, lets_nodes_of_their_own_inherit_nothing)
{
  add_chain(graph);
  check_reopen("node-name=disk,driver=cow,read-only=on,backing.auto-read-only=on,backing.cache.direct=on,"
               "backing.file.disk=b",
               NULL);
  check_option("base", "read-only", "off");
  check_option("base.file", "read-only", "off");
  check_option("base.file", "auto-read-only", "on");
  check_option("base.file", "cache.direct", "on");
}

Test(reopen, keeps_children_that_are_left_out)
{
  add_chain(graph);
  check_reopen("node-name=disk.file,driver=mem,disk=d,tag=5,auto-read-only=on", NULL);
  check_reopen("node-name=disk,driver=cow,read-only=on", NULL);
  check_option("disk.file", "tag", "5");
  check_option("disk.file", "read-only", "off");
}

Test(reopen, refuses_inline_children_by_their_names)
{
  static const struct {
    const char *inner, *words;
  } cases[] = {
      {"file.disk=other", "node 'disk.file': Cannot change the option 'disk'"},
      {"file.driver=cow", "node 'disk.file': Cannot change the option 'driver'"},
      {"file.disk=d,file.node-name=x", "node 'disk.file': Cannot change the option 'node-name'"},
      {"file.disk=d,file.nonsense=1", "node 'disk.file': driver 'mem' has no option 'nonsense'"},
      {"file.disk=d,file.tag=x", "node 'disk.file'"},
      {"file.tag=1", "node 'disk.file'"},
      {"file.disk=d,file.read-only=x", "node 'disk.file'"},
      {"file.disk=d,file.file.disk=d", "node 'disk.file': driver 'mem' has no option 'file.disk'"},
      {"backing.backing.driver=cow", "node 'base': there is no child 'backing'"},
      {"backing.file.disk=x", "node 'base.file': Cannot change the option 'disk'"},
  };
  add_chain(graph);
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *options = g_strconcat("node-name=disk,driver=cow,read-only=on,", cases[i].inner, NULL);
    reopen_fails(options, NULL, EINVAL, cases[i].words);
  }
}

Test(reopen, refuses_children_that_are_named_twice)
{
  static const char *const disk = "node-name=disk,driver=cow,read-only=on,file.disk=d";
  add_chain(graph);
  add_node(graph, "node-name=other,driver=cow,auto-read-only=on,file.driver=mem,file.disk=o,backing=base");
  reopen_fails(disk, "node-name=disk.file,driver=mem,disk=d", EINVAL, "'disk.file' is named twice");
  reopen_fails("node-name=disk.file,driver=mem,disk=d", disk, EINVAL, "'disk.file' is named twice");
  reopen_fails("node-name=disk,driver=cow,read-only=on,backing.read-only=on",
               "node-name=other,driver=cow,read-only=on,backing.read-only=on", EINVAL, "'base' is named twice");
}

/* Whatever is written: there is no more of it than there are nodes. */
Test(reopen, goes_no_deeper_than_the_graph)
{
  add_chain(graph);
  g_autoptr(BgDict) options = bg_dict_new();
  g_autoptr(GString) path = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  for (unsigned i = 0; i < 20000; i++)
    g_string_append(path, "backing.");
  g_string_append(path, "driver");
  bg_dict_set(options, "node-name", "disk");
  bg_dict_set(options, path->str, "cow");
  cr_assert(!bg_graph_reopen(graph, &options, 1, &error));
  cr_assert(strstr(error->message, "node 'base': there is no child 'backing'"), "%s", error->message);
}

/* The deepest node refuses when all others have already prepared. */
Test(reopen, of_inline_children_is_undone_when_storage_fails)
{
  static const char *const options =
      "node-name=disk,driver=cow,cache.direct=on,auto-read-only=on,file.disk=d,file.tag=3,"
      "backing.cache.direct=on,backing.auto-read-only=on,backing.file.disk=b,backing.file.tag=4";
  add_chain(graph);
  mem_disk("d")->fail_settle = EIO;
  reopen_fails(options, NULL, EIO, "node 'disk.file'");
  mem_disk("d")->fail_settle = 0;
  mem_disk("b")->fail_settle = EIO;
  reopen_fails(options, NULL, EIO, "node 'base.file'");
  mem_disk("b")->fail_settle = 0;
  check_reopen(options, NULL);
  check_option("disk.file", "tag", "3");
  check_option("base.file", "tag", "4");
}

/* ── at once ── */

static void *reopen_often(void *data)
{
  for (unsigned i = 0; i < 100; i++) {
    g_autofree char *options =
        g_strdup_printf("node-name=disk,driver=cow,auto-read-only=on,file.disk=d,file.tag=%u", i % 10);
    reopen(NULL, i % 3 ? options : data, NULL);
  }
  return NULL;
}

/* Each looks at children and options that another has just replaced. */
Test(reopen, of_the_same_nodes_at_once)
{
  static char *const others[] = {"node-name=disk,driver=cow,auto-read-only=on,backing=",
                                 "node-name=disk,driver=cow,auto-read-only=on,backing=base",
                                 "node-name=disk,driver=cow,auto-read-only=on,backing.auto-read-only=on"};
  pthread_t threads[G_N_ELEMENTS(others)];
  add_chain(graph);
  for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, reopen_often, others[i]), 0);
  for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
    pthread_join(threads[i], NULL);
  check_reopen("node-name=disk,driver=cow,auto-read-only=on,file.disk=d,file.tag=42,backing=base", NULL);
  check_option("disk.file", "tag", "42");
}
