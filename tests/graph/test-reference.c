#include "drivers/registry.h"
#include "graph/reference.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ROOT/in/disk.img      the image
 * ROOT/in/base.img      beside it
 * ROOT/in/sub/deep.img  below it
 * ROOT/out/secret.img   elsewhere
 * ROOT/inside/trap.img  in a directory whose name only begins like the image's
 * ROOT/link.img         a link to the image */
static char *root;
static char *image;

static char *at(const char *name)
{
  return g_build_filename(root, name, NULL);
}

static void make_file(const char *name)
{
  g_autofree char *path = at(name);
  g_autofree char *directory = g_path_get_dirname(path);
  g_mkdir_with_parents(directory, 0700);
  cr_assert(g_file_set_contents(path, "x", 1, NULL));
}

static void make_link(const char *target, const char *name)
{
  g_autofree char *path = at(name);
  cr_assert_eq(symlink(target, path), 0);
}

static void set_up(void)
{
  g_autofree char *made = g_dir_make_tmp("bg-reference-XXXXXX", NULL);
  root = realpath(made, NULL);
  make_file("in/disk.img");
  make_file("in/base.img");
  make_file("in/sub/deep.img");
  make_file("out/secret.img");
  make_file("inside/trap.img");
  make_link("in/disk.img", "link.img");
  image = at("in/disk.img");
}

static void remove_tree(const char *path)
{
  g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
  for (const char *name; dir && (name = g_dir_read_name(dir));) {
    g_autofree char *below = g_build_filename(path, name, NULL);
    remove_tree(below);
  }
  g_remove(path);
}

static void tear_down(void)
{
  remove_tree(root);
  free(root);
  g_free(image);
}

TestSuite(reference, .init = set_up, .fini = tear_down, .timeout = 30);

/* NULL-terminated list → policy. */
#define ALLOWED(...)                                                                                                   \
  &(BgPolicy)                                                                                                          \
  {                                                                                                                    \
    .allowed = (const char *const[])                                                                                   \
    {                                                                                                                  \
      __VA_ARGS__, NULL                                                                                                \
    }                                                                                                                  \
  }

static const BgPolicy strict;
static const BgPolicy trusting = {.trust_images = true};

static void check_resolves(const BgPolicy *policy, const char *reference, const char *expected)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = at(expected);
  g_autofree char *resolved = bg_reference_resolve(policy, image, reference, &error);
  cr_assert_not_null(resolved, "%s: %s", reference, error ? error->message : "no error");
  cr_assert_null(error);
  cr_assert_str_eq(resolved, path);
}

static void check_refused(const BgPolicy *policy, const char *reference, int err, const char *words)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *resolved = bg_reference_resolve(policy, image, reference, &error);
  cr_assert_null(resolved, "%s", reference);
  cr_assert(g_error_matches(error, BG_ERROR, err), "%s: %d, %s", reference, error->code, error->message);
  cr_assert(strstr(error->message, words), "%s", error->message);
  cr_assert(strstr(error->message, "disk.img"), "%s", error->message);
  cr_assert(!strchr(error->message, '\n'));
}

Test(reference, relative_names_are_relative_to_the_image)
{
  check_resolves(&strict, "base.img", "in/base.img");
  check_resolves(&strict, "./sub/../sub//deep.img", "in/sub/deep.img");
  check_resolves(&strict, "file:base.img", "in/base.img");
  check_resolves(&strict, "../in/base.img", "in/base.img");
}

Test(reference, absolute_names_inside)
{
  g_autofree char *base = at("in/base.img"), *uri = g_strconcat("file:", base, NULL);
  check_resolves(&strict, base, "in/base.img");
  check_resolves(&strict, uri, "in/base.img");
}

Test(reference, names_outside_are_refused_with_the_option)
{
  g_autofree char *secret = at("out/secret.img");
  g_autofree char *option = g_strdup_printf("--allow-reference '%s'", secret);
  g_autofree char *uri = g_strconcat("file://", secret, NULL);
  check_refused(&strict, secret, EPERM, option);
  check_refused(&strict, uri, EPERM, option);
  check_refused(&strict, "../out/secret.img", EPERM, option);
  check_refused(&strict, "sub/../../out/secret.img", EPERM, option);
  check_refused(&strict, "/etc/passwd", EPERM, "--allow-reference '/etc/passwd'");
  check_refused(&strict, "../inside/trap.img", EPERM, "--allow-reference");
}

Test(reference, links_are_followed)
{
  make_link("../out/secret.img", "in/leads-out.img");
  make_link("../out", "in/out");
  make_link("base.img", "in/stays.img");
  check_refused(&strict, "leads-out.img", EPERM, "--allow-reference");
  check_refused(&strict, "out/secret.img", EPERM, "--allow-reference");
  check_resolves(&strict, "stays.img", "in/base.img");
  make_link("loop.img", "in/loop.img");
  check_refused(&strict, "loop.img", ELOOP, "cannot be found");
}

/* The link's directory is where names begin, as QEMU has it, but the image's own directory is all it may name. */
Test(reference, an_image_named_by_a_link)
{
  make_file("beside-link.img");
  g_free(image);
  image = at("link.img");
  g_autoptr(GError) error = NULL;
  cr_assert_null(bg_reference_resolve(&strict, image, "beside-link.img", &error));
  cr_assert(g_error_matches(error, BG_ERROR, EPERM), "%s", error->message);
  g_autofree char *resolved = bg_reference_resolve(&strict, image, "in/base.img", NULL);
  cr_assert_not_null(resolved);
}

Test(reference, missing_files)
{
  check_refused(&strict, "missing.img", ENOENT, "missing.img");
  check_refused(&strict, "base.img/x", ENOTDIR, "base.img/x");
  check_refused(&trusting, "missing.img", ENOENT, "missing.img");
}

Test(reference, what_is_not_a_file)
{
  g_autofree char *fifo = at("in/fifo");
  cr_assert_eq(mkfifo(fifo, 0600), 0);
  check_refused(&strict, "sub", EPERM, "not a regular file");
  check_refused(&strict, "fifo", EPERM, "not a regular file");
  check_refused(&strict, ".", EPERM, "not a regular file");
  check_refused(&strict, "/dev/null", EPERM, "not a regular file");
  check_refused(&trusting, "fifo", EINVAL, "block device");
  check_refused(&trusting, "/dev/null", EINVAL, "block device");
  check_refused(&trusting, "sub", EINVAL, "block device");
  check_refused(&strict, "", EINVAL, "empty name");
  check_refused(&strict, "file:", EINVAL, "empty name");
}

Test(reference, protocols)
{
  static const char *const names[] = {"json:{\"driver\":\"file\"}",
                                      "ftp:localhost:1",
                                      "ftp+unix:///x",
                                      "vm 1:disk",
                                      ":x",
                                      "json:{\"file.filename\":\"base.img\"}",
                                      "FILE:base.img"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *option = g_strdup_printf("--allow-reference '%s'", names[i]);
    check_refused(&strict, names[i], EPERM, option);
    check_refused(&trusting, names[i], EPROTONOSUPPORT, "no driver");
  }
  make_file("in/a:b");
  check_resolves(&strict, "./a:b", "in/a:b");
  check_resolves(&strict, "file:a:b", "in/a:b");
}

Test(reference, allowed_files_and_directories)
{
  g_autofree char *secret = at("out/secret.img"), *out = at("out"), *uri = g_strconcat("file:", out, "//", NULL);
  check_resolves(ALLOWED(secret), secret, "out/secret.img");
  check_resolves(ALLOWED("/nonexistent", out), secret, "out/secret.img");
  check_resolves(ALLOWED(uri), "../out/secret.img", "out/secret.img");
  check_resolves(ALLOWED("/"), secret, "out/secret.img");
  check_resolves(&trusting, secret, "out/secret.img");
}

Test(reference, allowed_paths_go_by_whole_components)
{
  g_autofree char *begins_like = at("inside/tra"), *in = at("ins"), *missing = at("in/missing");
  check_refused(ALLOWED(begins_like, in, missing), "../inside/trap.img", EPERM, "--allow-reference");
  make_file("ins/x");
  check_refused(ALLOWED(begins_like, in, missing), "../inside/trap.img", EPERM, "--allow-reference");
}

Test(reference, what_is_allowed_may_be_a_link)
{
  make_link("out", "allowed");
  g_autofree char *allowed = at("allowed");
  check_resolves(ALLOWED(allowed), "../out/secret.img", "out/secret.img");
}

Test(reference, allowed_protocols_go_by_whole_parts)
{
  const BgPolicy *policy = ALLOWED("ftp://host/a", "ssh:");
  check_refused(policy, "ftp://host/a", EPROTONOSUPPORT, "no driver");
  check_refused(policy, "ftp://host/a/b", EPROTONOSUPPORT, "no driver");
  check_refused(policy, "ssh://anywhere/x", EPROTONOSUPPORT, "no driver");
  check_refused(policy, "ftp://host/ab", EPERM, "--allow-reference");
  check_refused(ALLOWED("ftp://host"), "ftp://host.example/a", EPERM, "--allow-reference");
  check_refused(ALLOWED("ftp://host"), "ftp://host@example/a", EPERM, "--allow-reference");
}

Test(reference, names_are_shown_harmless)
{
  check_refused(&strict, "no\n\x1b[2Jsuch", ENOENT, "no\\n\\x1b[2Jsuch");
  check_refused(&strict, "nbd:\r\xff", EPERM, "nbd:\\x0d\\xff");
}

Test(reference, endless_names)
{
  g_autofree char *name = g_malloc(100001);
  memset(name, 'x', 100000);
  name[100000] = '\0';
  check_refused(&strict, name, ENAMETOOLONG, "cannot be found");
}

Test(reference, images_without_a_file)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bg_reference_resolve(&strict, NULL, "base.img", &error));
  cr_assert(g_error_matches(error, BG_ERROR, EINVAL));
  g_clear_error(&error);
  g_autofree char *base = at("in/base.img");
  cr_assert_null(bg_reference_resolve(&strict, NULL, base, &error));
  cr_assert(g_error_matches(error, BG_ERROR, EPERM));
  g_autofree char *resolved = bg_reference_resolve(&trusting, NULL, base, NULL);
  cr_assert_str_eq(resolved, base);
}

Test(reference, a_protocol_that_a_driver_speaks_is_opened_where_it_is_allowed)
{
  if (!bg_driver_of_uri("nbd://host/a"))
    cr_skip_test("built without libnbd");
  check_refused(&strict, "nbd://host/a", EPERM, "--allow-reference 'nbd://host/a'");
  check_refused(ALLOWED("nbd:"), "nbds://host/a", EPERM, "--allow-reference");
  g_autofree char *resolved = bg_reference_resolve(ALLOWED("nbd:"), image, "nbd://host/a", NULL);
  cr_assert_str_eq(resolved, "nbd://host/a");
  g_autofree char *trusted = bg_reference_resolve(&trusting, NULL, "nbd+unix:///?socket=/s", NULL);
  cr_assert_str_eq(trusted, "nbd+unix:///?socket=/s");
}
