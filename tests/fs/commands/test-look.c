#include "fs/commands/look.h"

#include "tests/fs/commands/command.h"

#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static Scratch scratch;

static void set_up(void)
{
  scratch_init(&scratch, NULL, NULL);
}

static void tear_down(void)
{
  scratch_clear(&scratch);
}

TestSuite(look, .init = set_up, .fini = tear_down, .timeout = 60);

static const BgfsSubcommand command = {
    .name = "blockgraphfs look", .operands = "IMAGE", .most = 1, .summary = "For tests.", .usage_status = 2};

/* Opens, and tells what it has got. */
static int play(int argc, char **argv, bool with_chain)
{
  g_auto(BgfsLook) look = {0};
  int status = 77;
  if (!bgfs_look_open(&look, &command, argc, argv, with_chain, &status))
    return status;
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(look.graph);
  printf("%s %s %s %s %u\n", look.image, bg_node_driver(look.node)->name, look.json ? "json" : "text",
         look.chain ? "chain" : "alone", nodes->len);
  return 0;
}

static int alone(int argc, char **argv)
{
  return play(argc, argv, false);
}

static int with_chain(int argc, char **argv)
{
  return play(argc, argv, true);
}

static void expect(int (*function)(int, char **), const char *const *words, int status, const char *out,
                   const char *err)
{
  g_auto(Said) said = command_run(&scratch, function, words);
  cr_assert_eq(said.status, status, "%d: %s%s", said.status, said.out, said.err);
  cr_assert_str_eq(said.out, out);
  cr_assert(strstr(said.err, err), "%s", said.err);
  cr_assert_eq(strchr(said.err, '\n') ? strchr(said.err, '\n')[1] : '\0', '\0', "one line: %s", said.err);
}
#define EXPECT(function, status, out, err, ...)                                                                        \
  expect(function, (const char *const[]){__VA_ARGS__, NULL}, status, out, err)

Test(look, opens_what_it_is_told)
{
  scratch_file(&scratch, "base", 1 << 20, 'b');
  command_image(&scratch, "disk", 1 << 20, "base", 0, 0, 0);
  EXPECT(alone, 0, "disk qcow2 text alone 2\n", "", "disk");
  EXPECT(alone, 0, "disk qcow2 json chain 4\n", "", "--backing-chain", "--json", "disk");
  EXPECT(alone, 0, "disk raw text alone 2\n", "", "-f", "raw", "disk");
  EXPECT(with_chain, 0, "disk qcow2 text alone 4\n", "", "disk");
}

Test(look, false_command_lines)
{
  EXPECT(alone, 2, "", "blockgraphfs look: IMAGE is missing\n", "--json");
  EXPECT(alone, 2, "", "blockgraphfs look: one argument too many\n", "a", "b");
  EXPECT(alone, 2, "", "--jason", "--jason", "a");
  EXPECT(with_chain, 2, "", "--backing-chain", "--backing-chain", "a");
}

Test(look, help)
{
  g_auto(Said) said = COMMAND(&scratch, alone, "--help");
  cr_assert_eq(said.status, 0);
  cr_assert(strstr(said.out, "For tests.") && strstr(said.out, "--backing-chain") &&
            strstr(said.out, "--trust-images"));
  cr_assert_str_empty(said.err);
}

Test(look, an_image_alone_needs_nothing_else)
{
  g_autofree char *base = scratch_path(&scratch, "base");
  scratch_file(&scratch, "base", 512, 'b');
  command_image(&scratch, "disk", 1 << 20, "base", 0, 0, 0);
  cr_assert_eq(g_unlink(base), 0);
  EXPECT(alone, 0, "disk qcow2 text alone 2\n", "", "disk");
  EXPECT(with_chain, 1, "", "blockgraphfs look: disk: ", "disk");
  EXPECT(alone, 1, "", "No such file or directory", "none");
  EXPECT(alone, 1, "", "There is no format 'x'", "--format=x", "disk");
}

/* What an image may refer to is the same as for a mount. */
Test(look, references)
{
  Scratch elsewhere;
  scratch_init(&elsewhere, NULL, NULL);
  scratch_file(&elsewhere, "base", 4096, 'b');
  g_autofree char *base = scratch_path(&elsewhere, "base"), *option = g_strconcat("--allow-reference=", base, NULL);
  command_image(&scratch, "top", 1 << 20, base, 0, 0, 0);
  EXPECT(with_chain, 1, "", "--allow-reference", "top");
  EXPECT(with_chain, 0, "top qcow2 text alone 4\n", "", option, "top");
  EXPECT(with_chain, 0, "top qcow2 text alone 4\n", "", "--trust-images", "top");
  EXPECT(alone, 0, "top qcow2 text alone 2\n", "", "top");
  scratch_clear(&elsewhere);
}

Test(look, looking_locks_nobody_out_and_changes_nothing)
{
  g_autofree char *path = scratch_path(&scratch, "disk");
  command_image(&scratch, "disk", 1 << 20, NULL, 0, 4096, 'd');
  g_autofree char *before = NULL, *after = NULL;
  gsize length, length_after;
  cr_assert(g_file_get_contents(path, &before, &length, NULL));
  EXPECT(with_chain, 0, "disk qcow2 text alone 2\n", "", "disk");
  cr_assert(g_file_get_contents(path, &after, &length_after, NULL));
  cr_assert(length == length_after && memcmp(before, after, length) == 0);
}
