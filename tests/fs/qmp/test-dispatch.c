#include "fs/qmp/dispatch.h"

#include "fs/qmp/schema.h"

#include "tests/graph/scratch.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct Fixture {
  Scratch scratch;
  BgfsQmpMount mount;
  BgfsQmpSession session;
} Fixture;

static void setup(Fixture *fixture)
{
  scratch_init(&fixture->scratch, NULL, NULL);
  fixture->mount = (BgfsQmpMount){.graph = fixture->scratch.graph};
  fixture->session = (BgfsQmpSession){.mount = &fixture->mount};
}

static void teardown(Fixture *fixture)
{
  scratch_clear(&fixture->scratch);
}

/* Single quotes are double ones, "@" is the directory. */
static char *ask(Fixture *fixture, const char *request)
{
  g_auto(GStrv) parts = g_strsplit(request, "@", -1);
  g_autofree char *text = g_strjoinv(fixture->scratch.directory, parts);
  g_strdelimit(text, "'", '"');
  return bgfs_qmp_dispatch(&fixture->session, text);
}

static void assert_holds(Fixture *fixture, const char *request, const char *wanted)
{
  g_autofree char *answer = ask(fixture, request);
  g_autofree char *part = g_strdelimit(g_strdup(wanted), "'", '"');
  cr_assert(strstr(answer, part), "%s: %s", request, answer);
}

static void assert_error(Fixture *fixture, const char *request, const char *wanted)
{
  g_autofree char *answer = ask(fixture, request);
  cr_assert(g_str_has_prefix(answer, "{\"error\":") && strstr(answer, wanted), "%s: %s", request, answer);
}

static void assert_done(Fixture *fixture, const char *request)
{
  g_autofree char *answer = ask(fixture, request);
  cr_assert_str_eq(answer, "{\"return\":{}}\r\n", "%s: %s", request, answer);
}

static void negotiate(Fixture *fixture)
{
  assert_done(fixture, "{'execute':'qmp_capabilities'}");
}

Test(dispatch, everything_waits_for_the_negotiation)
{
  Fixture fixture;
  setup(&fixture);
  assert_holds(&fixture, "{'execute':'query-version'}", "'class':'CommandNotFound'");
  assert_error(&fixture, "{'execute':'nope'}", "Expecting capabilities negotiation with 'qmp_capabilities'");
  assert_error(&fixture, "{'execute':'qmp_capabilities','arguments':{'enable':['oob']}}", "'oob' not available");
  cr_assert_not(fixture.session.negotiated);
  negotiate(&fixture);
  assert_holds(&fixture, "{'execute':'qmp_capabilities'}", "'class':'CommandNotFound'");
  assert_holds(&fixture, "{'execute':'query-version','id':9}", "'id':9");
  teardown(&fixture);
}

Test(dispatch, unknown_commands_have_a_class_of_their_own)
{
  Fixture fixture;
  setup(&fixture);
  negotiate(&fixture);
  assert_holds(&fixture, "{'execute':'nope','id':1}",
               "{'error':{'class':'CommandNotFound','desc':\"The command nope has not been found\"},'id':1}");
  teardown(&fixture);
}

Test(dispatch, nodes_come_and_go)
{
  Fixture fixture;
  setup(&fixture);
  negotiate(&fixture);
  scratch_file(&fixture.scratch, "a.raw", 1 << 20, 1);
  assert_done(&fixture, "{'execute':'blockdev-add','arguments':{'driver':'file','node-name':'f',"
                        "'filename':'@/a.raw','auto-read-only':true}}");
  assert_done(&fixture, "{'execute':'blockdev-add','arguments':{'driver':'raw','node-name':'r','file':'f',"
                        "'cache':{'direct':false},'auto-read-only':true}}");
  assert_holds(&fixture, "{'execute':'query-named-block-nodes','arguments':{'flat':true}}",
               "'node-name':'r','drv':'raw'");
  assert_error(&fixture, "{'execute':'blockdev-del','arguments':{'node-name':'f'}}", "Block device f is in use");
  assert_done(&fixture, "{'execute':'blockdev-del','arguments':{'node-name':'r'}}");
  assert_done(&fixture, "{'execute':'blockdev-del','arguments':{'node-name':'f'}}");
  assert_error(&fixture, "{'execute':'blockdev-del','arguments':{'node-name':'f'}}",
               "Failed to find node with node-name='f'");
  assert_holds(&fixture, "{'execute':'query-named-block-nodes'}", "{'return':[]}");
  teardown(&fixture);
}

Test(dispatch, a_node_needs_a_name_of_its_own)
{
  Fixture fixture;
  setup(&fixture);
  negotiate(&fixture);
  scratch_file(&fixture.scratch, "a.raw", 4096, 1);
  scratch_add(&fixture.scratch, "driver=file,node-name=f,filename=@/a.raw,read-only=on");
  assert_error(&fixture, "{'execute':'blockdev-add','arguments':{'driver':'file','filename':'@/a.raw'}}",
               "'node-name' must be specified for the root node");
  assert_error(&fixture,
               "{'execute':'blockdev-add','arguments':{'driver':'file','node-name':'f','filename':'@/a.raw'}}",
               "Duplicate nodes with node-name='f'");
  teardown(&fixture);
}

Test(dispatch, an_empty_reopen_does_nothing)
{
  Fixture fixture;
  setup(&fixture);
  negotiate(&fixture);
  assert_done(&fixture, "{'execute':'blockdev-reopen','arguments':{'options':[]}}");
  assert_error(&fixture, "{'execute':'blockdev-reopen','arguments':{'options':[{'driver':'raw'}]}}",
               "node-name not specified");
  assert_error(&fixture, "{'execute':'blockdev-reopen','arguments':{'options':[{'driver':'raw','node-name':'x'}]}}",
               "Failed to find node with node-name='x'");
  teardown(&fixture);
}

Test(dispatch, a_reopen_of_one_node_twice_is_refused)
{
  Fixture fixture;
  setup(&fixture);
  negotiate(&fixture);
  scratch_file(&fixture.scratch, "a.raw", 4096, 1);
  scratch_add(&fixture.scratch, "driver=raw,node-name=r,file.driver=file,file.filename=@/a.raw,auto-read-only=on");
  assert_error(&fixture,
               "{'execute':'blockdev-reopen','arguments':{'options':[{'driver':'raw','node-name':'r','read-only':true},"
               "{'driver':'raw','node-name':'r'}]}}",
               "twice");
  teardown(&fixture);
}

/* The last of them names a child that there is not. */
Test(dispatch, a_reopen_that_fails_changes_nothing)
{
  Fixture fixture;
  setup(&fixture);
  negotiate(&fixture);
  scratch_file(&fixture.scratch, "a.raw", 4096, 1);
  scratch_add(&fixture.scratch, "driver=raw,node-name=r,file.driver=file,file.filename=@/a.raw,auto-read-only=on");
  scratch_add(&fixture.scratch, "driver=null-co,node-name=n,auto-read-only=on");
  assert_error(
      &fixture,
      "{'execute':'blockdev-reopen','arguments':{'options':[{'driver':'null-co','node-name':'n','read-only':true},"
      "{'driver':'raw','node-name':'r','file':'missing'}]}}",
      "there is no node 'missing'");
  cr_assert(bg_node_writable(bg_graph_find(fixture.scratch.graph, "n")));
  teardown(&fixture);
}

static int byte_of(Fixture *fixture, const char *name)
{
  BgUser *user = scratch_reader(bg_graph_find(fixture->scratch.graph, name));
  unsigned char byte = 0;
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_preadv(user, &iov, 1, 0), 1);
  bg_user_free(user);
  return byte;
}

Test(dispatch, two_nodes_swap_their_files_in_one_reopen)
{
  Fixture fixture;
  setup(&fixture);
  negotiate(&fixture);
  scratch_file(&fixture.scratch, "a.raw", 4096, 'a');
  scratch_file(&fixture.scratch, "b.raw", 4096, 'b');
  scratch_add(&fixture.scratch, "driver=file,node-name=fa,filename=@/a.raw,auto-read-only=on");
  scratch_add(&fixture.scratch, "driver=file,node-name=fb,filename=@/b.raw,auto-read-only=on");
  scratch_add(&fixture.scratch, "driver=raw,node-name=a,file=fa,auto-read-only=on");
  scratch_add(&fixture.scratch, "driver=raw,node-name=b,file=fb,auto-read-only=on");
  assert_done(&fixture, "{'execute':'blockdev-reopen','arguments':{'options':["
                        "{'driver':'raw','node-name':'a','file':'fb','auto-read-only':true},"
                        "{'driver':'raw','node-name':'b','file':'fa','auto-read-only':true}]}}");
  cr_assert_eq(byte_of(&fixture, "a"), 'b');
  cr_assert_eq(byte_of(&fixture, "b"), 'a');
  teardown(&fixture);
}

Test(dispatch, a_cycle_is_refused)
{
  Fixture fixture;
  setup(&fixture);
  negotiate(&fixture);
  scratch_file(&fixture.scratch, "a.raw", 4096, 'a');
  scratch_add(&fixture.scratch, "driver=raw,node-name=low,file.driver=file,file.filename=@/a.raw,auto-read-only=on");
  scratch_add(&fixture.scratch, "driver=raw,node-name=high,file=low,auto-read-only=on");
  assert_error(&fixture,
               "{'execute':'blockdev-reopen','arguments':{'options':["
               "{'driver':'raw','node-name':'low','file':'high','auto-read-only':true}]}}",
               "");
  assert_error(&fixture,
               "{'execute':'blockdev-reopen','arguments':{'options':["
               "{'driver':'raw','node-name':'low','file':'low','auto-read-only':true}]}}",
               "");
  cr_assert_eq(byte_of(&fixture, "high"), 'a');
  teardown(&fixture);
}

static bool quit_was_called;

static void on_quit(void *data)
{
  *(bool *)data = true;
}

Test(dispatch, quit_asks_for_the_end)
{
  Fixture fixture;
  setup(&fixture);
  fixture.mount.quit = on_quit;
  fixture.mount.quit_data = &quit_was_called;
  negotiate(&fixture);
  assert_done(&fixture, "{'execute':'quit'}");
  cr_assert(quit_was_called);
  teardown(&fixture);
}

Test(dispatch, every_command_can_be_told_of)
{
  for (const BgfsQmpCommand *const *table = bgfs_qmp_commands(); *table; table++) {
    for (const BgfsQmpCommand *command = *table; command->name; command++) {
      cr_assert(command->handler && command->arguments && command->result, "%s", command->name);
      cr_assert(command->help && g_str_has_suffix(command->help, "."), "%s", command->name);
      cr_assert_eq(bgfs_qmp_command_find(command->name), command, "%s is there once", command->name);
    }
  }
}

/* Every name that an entry uses is that of an entry, and there is no name twice. */
static void check_reference(GHashTable *names, JsonObject *object, const char *member)
{
  const char *name = json_object_get_string_member_with_default(object, member, NULL);
  cr_assert(!name || g_hash_table_contains(names, name), "%s", name);
}

static void check_references(GHashTable *names, JsonObject *entry, const char *list, const char *member)
{
  JsonArray *array = json_object_has_member(entry, list) ? json_object_get_array_member(entry, list) : NULL;
  for (guint i = 0; array && i < json_array_get_length(array); i++)
    check_reference(names, json_array_get_object_element(array, i), member);
}

Test(dispatch, the_schema_holds_together)
{
  g_autoptr(JsonNode) schema = bgfs_qmp_schema();
  JsonArray *entries = json_node_get_array(schema);
  g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
  for (guint i = 0; i < json_array_get_length(entries); i++) {
    const char *name = json_object_get_string_member(json_array_get_object_element(entries, i), "name");
    cr_assert(g_hash_table_add(names, (gpointer)name), "%s is there twice", name);
  }
  for (guint i = 0; i < json_array_get_length(entries); i++) {
    JsonObject *entry = json_array_get_object_element(entries, i);
    check_reference(names, entry, "arg-type");
    check_reference(names, entry, "ret-type");
    check_reference(names, entry, "element-type");
    check_references(names, entry, "members", "type");
    check_references(names, entry, "variants", "type");
  }
  for (const BgfsQmpCommand *const *table = bgfs_qmp_commands(); *table; table++)
    for (const BgfsQmpCommand *command = *table; command->name; command++)
      cr_assert(g_hash_table_contains(names, command->name), "%s", command->name);
  cr_assert(g_hash_table_contains(names, "BlockdevOptions-qcow2"));
}
