#include "fs/ctl/command.h"

#include "drivers/error.h"
#include "fs/ctl/socket.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <string.h>

static const BgfsCtlCommand two = {.name = "test", .operands = "MOUNTPOINT NODE [TARGET]", .least = 1, .most = 2};
static const BgfsCtlCommand none = {.name = "test", .operands = "MOUNTPOINT"};

static bool parse(BgfsCtl *ctl, const BgfsCtlCommand *command, int *status, const char *line)
{
  g_auto(GStrv) words = g_strsplit(line, " ", -1);
  /* GOption moves pointers about: the words are freed by their own list */
  g_autofree char **argv = g_memdup2(words, sizeof(char *) * (g_strv_length(words) + 1));
  return bgfs_ctl_parse(ctl, command, NULL, (int)g_strv_length(words), argv, status);
}

static void assert_parsed(const BgfsCtlCommand *command, const char *line, const char *place, const char *first)
{
  g_auto(BgfsCtl) ctl = {0};
  int status;
  cr_assert(parse(&ctl, command, &status, line), "%s", line);
  cr_assert_str_eq(bgfs_ctl_place(&ctl), place);
  cr_assert_str_eq(bgfs_ctl_operand(&ctl, 0) ? bgfs_ctl_operand(&ctl, 0) : "", first);
}

Test(command, a_mount_point_and_nodes)
{
  assert_parsed(&two, "test /tmp a", "/tmp", "a");
  assert_parsed(&two, "test /tmp/nothing-here a", "/tmp", "nothing-here");
  assert_parsed(&two, "test --socket=/s a b", "/s", "a");
  assert_parsed(&none, "test -s /s", "/s", "");
  assert_parsed(&none, "test /nothing/here", "/nothing/here", "");
}

Test(command, false_lines_are_usage_errors, .init = cr_redirect_stderr)
{
  static const char *const lines[] = {"test",       "test /tmp",           "test /tmp a b c", "test -s /s a b c",
                                      "test -s /s", "test --bogus /tmp a", "test -t 0 /tmp a"};
  for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
    g_auto(BgfsCtl) ctl = {0};
    int status = 0;
    cr_assert_not(parse(&ctl, &two, &status, lines[i]), "%s", lines[i]);
    cr_assert_eq(status, BGFS_CTL_USAGE, "%s", lines[i]);
  }
}

Test(socket, a_directory_that_is_no_mount_is_told)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_ctl_socket_of("/nothing/here", &error));
  cr_assert_eq(bg_error_errno(error), ENOENT);
  g_clear_error(&error);
  cr_assert_null(bgfs_ctl_socket_of("/proc", &error));
  cr_assert_eq(bg_error_errno(error), EINVAL);
  cr_assert_not_null(strstr(error->message, "not fuse.blockgraphfs"), "%s", error->message);
}
