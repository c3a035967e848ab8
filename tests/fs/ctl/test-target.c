#include "fs/ctl/target.h"

#include "drivers/error.h"
#include "fs/stderr.h"
#include "tests/fs/ctl/fake-server.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(target, .timeout = 60);

enum { LONG = 20000 /* ms */, SIZE = 1 << 20 };

#define QUERY                                                                                                          \
  {                                                                                                                    \
    "\"query-blockgraph\"",                                                                                            \
        "{\"return\":{\"nodes\":[{\"node-name\":\"disk\",\"size\":1048576},{\"node-name\":\"odd\"}]},\"id\":@}\r\n"    \
  }
#define REFUSED "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":@}\r\n"

/* A command that is connected, and a directory to copy into. */
typedef struct Setup {
  FakeServer *server;
  BgfsCtl ctl;
  char *directory;
  BgfsCtlTarget target;
} Setup;

static void set_up(Setup *setup, const FakeStep *steps)
{
  *setup = (Setup){.server = fake_server_negotiated(steps), .directory = g_dir_make_tmp("target-XXXXXX", NULL)};
  setup->ctl.subcommand.name = "blockgraphctl test";
  setup->ctl.client = bgfs_ctl_client_new(fake_server_path(setup->server), LONG, NULL);
  cr_assert_not_null(setup->ctl.client);
}

/* All that was expected was asked, and no file is left. */
static void tear_down(Setup *setup)
{
  g_clear_pointer(&setup->ctl.client, bgfs_ctl_client_free);
  fake_server_end(setup->server);
  bgfs_ctl_target_clear(&setup->target);
  cr_assert_eq(g_rmdir(setup->directory), 0, "%s is not empty", setup->directory);
  g_free(setup->directory);
}

static char *path_of(const Setup *setup, const char *name)
{
  return g_build_filename(setup->directory, name, NULL);
}

static int64_t size_of(const char *file)
{
  struct stat st;
  return stat(file, &st) == 0 ? st.st_size : -1;
}

static void open_target(Setup *setup, const char *text, const char *format)
{
  g_autoptr(GError) error = NULL;
  cr_assert(bgfs_ctl_target_open(&setup->ctl, &setup->target, "disk", text, format, &error), "%s: %s", text,
            error ? error->message : "");
}

static void assert_refused(const FakeStep *steps, const char *source, const char *name, int code)
{
  Setup setup;
  set_up(&setup, steps);
  g_autofree char *path = path_of(&setup, name);
  g_autoptr(GError) error = NULL;
  cr_assert_not(bgfs_ctl_target_open(&setup.ctl, &setup.target, source, path, NULL, &error));
  cr_assert_eq(bg_error_errno(error), code, "%s", error->message);
  tear_down(&setup);
}

Test(target, a_node_stays_what_it_is)
{
  static const FakeStep steps[] = {QUERY, {NULL}};
  Setup setup;
  set_up(&setup, steps);
  open_target(&setup, "odd", NULL);
  cr_assert_str_eq(setup.target.node, "odd");
  cr_assert_null(setup.target.file);
  bgfs_ctl_target_close(&setup.ctl, &setup.target, true, false);
  tear_down(&setup);
}

Test(target, what_is_neither_a_node_nor_a_file)
{
  static const FakeStep steps[] = {QUERY, {NULL}};
  Setup setup;
  set_up(&setup, steps);
  g_autoptr(GError) error = NULL;
  cr_assert_not(bgfs_ctl_target_open(&setup.ctl, &setup.target, "disk", "gone", NULL, &error));
  cr_assert_eq(bg_error_errno(error), ENOENT);
  tear_down(&setup);
  assert_refused(steps, "disk", "image", EINVAL);
}

/* With a name that no node has yet. */
#define ADD_RAW "\"blockdev-add\"|\"node-name\":\"disk-2\"|\"driver\":\"raw\"|/disk.img\"|\"auto-read-only\":true"
#define DELETE  "\"blockdev-del\"|\"node-name\":\"disk-2\""

Test(target, a_file_is_made_as_large_as_the_source)
{
  static const FakeStep steps[] = {QUERY, {ADD_RAW, FAKE_DONE}, {DELETE, FAKE_DONE}, {NULL}};
  Setup setup;
  set_up(&setup, steps);
  g_autofree char *path = path_of(&setup, "disk.img");
  open_target(&setup, path, NULL);
  cr_assert(setup.target.created);
  cr_assert_str_eq(setup.target.file, path);
  cr_assert_eq(size_of(path), SIZE);
  bgfs_ctl_target_close(&setup.ctl, &setup.target, false, false);
  cr_assert_eq(g_unlink(path), 0, "it is what was wanted");
  tear_down(&setup);
}

Test(target, a_copy_that_failed_leaves_no_file)
{
  static const FakeStep steps[] = {QUERY, {ADD_RAW, FAKE_DONE}, {DELETE, FAKE_DONE}, {NULL}};
  Setup setup;
  set_up(&setup, steps);
  g_autofree char *path = path_of(&setup, "disk.img");
  open_target(&setup, path, NULL);
  bgfs_ctl_target_close(&setup.ctl, &setup.target, true, false);
  tear_down(&setup);
}

Test(target, what_stays_is_not_asked_to_go)
{
  static const FakeStep steps[] = {QUERY, {ADD_RAW, FAKE_DONE}, {NULL}};
  Setup setup;
  set_up(&setup, steps);
  g_autofree char *path = path_of(&setup, "disk.img");
  open_target(&setup, path, NULL);
  bgfs_ctl_target_close(&setup.ctl, &setup.target, false, true);
  cr_assert_eq(g_unlink(path), 0);
  tear_down(&setup);
}

Test(target, a_file_of_others_is_never_removed)
{
  static const FakeStep steps[] = {QUERY, {"\"driver\":\"qcow2\"", FAKE_DONE}, {"\"blockdev-del\"", FAKE_DONE}, {NULL}};
  Setup setup;
  set_up(&setup, steps);
  g_autofree char *path = path_of(&setup, "disk.img");
  cr_assert(g_file_set_contents(path, "theirs", -1, NULL));
  open_target(&setup, path, "qcow2");
  cr_assert_not(setup.target.created);
  bgfs_ctl_target_close(&setup.ctl, &setup.target, true, false);
  cr_assert_eq(size_of(path), 6);
  g_unlink(path);
  tear_down(&setup);
}

Test(target, what_a_uri_names_is_there)
{
  static const FakeStep steps[] = {QUERY,
                                   {"\"driver\":\"raw\"|\"file\":{|\"filename\":\"nbd://host/far\"", FAKE_DONE},
                                   {"\"blockdev-del\"", FAKE_DONE},
                                   {NULL}};
  Setup setup;
  set_up(&setup, steps);
  open_target(&setup, "nbd://host/far", "raw");
  cr_assert_not(setup.target.created);
  bgfs_ctl_target_close(&setup.ctl, &setup.target, true, false);
  tear_down(&setup);
}

Test(target, nothing_is_left_of_what_is_refused)
{
  static const FakeStep refused[] = {QUERY, {ADD_RAW, REFUSED}, {NULL}}, only_asked[] = {QUERY, {NULL}};
  assert_refused(refused, "disk", "disk.img", EINVAL);
  assert_refused(only_asked, "gone", "disk.img", ENOENT);
  assert_refused(only_asked, "odd", "disk.img", EPROTO);
}

/* An image that a node still shows stays. */
Test(target, a_node_that_does_not_go_is_told_and_keeps_its_file)
{
  static const FakeStep steps[] = {QUERY, {ADD_RAW, FAKE_DONE}, {DELETE, REFUSED}, {NULL}};
  Setup setup;
  set_up(&setup, steps);
  g_autofree char *path = path_of(&setup, "disk.img");
  open_target(&setup, path, NULL);
  BgfsStderr capture;
  bgfs_stderr_begin(&capture);
  bgfs_ctl_target_close(&setup.ctl, &setup.target, true, false);
  g_autofree char *said = bgfs_stderr_end(&capture);
  cr_assert_str_eq(said, "blockgraphctl test: the node 'disk-2' is left: no\n");
  cr_assert_eq(g_unlink(path), 0);
  tear_down(&setup);
}
