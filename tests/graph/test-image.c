#include "graph/image.h"

#include "graph/create.h"
#include "tests/graph/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
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

TestSuite(image, .init = set_up, .fini = tear_down, .timeout = 60);

static char *make_overlay(void)
{
  g_autoptr(GError) error = NULL;
  scratch_file(&scratch, "base.raw", 65536, 'b');
  char *path = scratch_path(&scratch, "disk.qcow2");
  cr_assert(bg_create_image("qcow2", path, 1 << 20, NULL, "base.raw", "raw", NULL, &error), "%s",
            error ? error->message : "");
  return path;
}

static int first_byte(BgNode *node)
{
  unsigned char byte = 0xee;
  struct iovec iov = {&byte, 1};
  BgUser *user = scratch_reader(node);
  cr_assert_eq(bg_user_preadv(user, &iov, 1, 0), 1);
  bg_user_free(user);
  return byte;
}

Test(image, with_what_it_stands_on)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = make_overlay();
  BgNode *node = bg_image_open(scratch.graph, path, NULL, true, &error);
  cr_assert_not_null(node, "%s", error ? error->message : "");
  cr_assert_str_eq(bg_node_driver(node)->name, "qcow2");
  cr_assert_eq(first_byte(node), 'b');
  cr_assert(!bg_node_writable(node), "to look at only");
}

Test(image, alone_though_its_backing_file_is_gone)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = make_overlay(), *base = scratch_path(&scratch, "base.raw");
  cr_assert_eq(remove(base), 0);
  BgNode *node = bg_image_open(scratch.graph, path, NULL, false, &error);
  cr_assert_not_null(node, "%s", error ? error->message : "");
  cr_assert_eq(bg_node_size(node), 1 << 20);
  cr_assert_eq(first_byte(node), 0);
}

Test(image, as_the_format_that_is_named)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = make_overlay();
  BgNode *node = bg_image_open(scratch.graph, path, "raw", true, &error);
  cr_assert_not_null(node, "%s", error ? error->message : "");
  cr_assert_eq(first_byte(node), 'Q');
}

Test(image, refusals)
{
  g_autofree char *raw = scratch_path(&scratch, "raw"), *none = scratch_path(&scratch, "none");
  g_autoptr(GError) missing = NULL, unknown = NULL;
  scratch_file(&scratch, "raw", 512, 'r');
  cr_assert_null(bg_image_open(scratch.graph, none, NULL, true, &missing));
  cr_assert_eq(bg_error_errno(missing), ENOENT);
  cr_assert_null(bg_image_open(scratch.graph, raw, "a\nb", true, &unknown));
  cr_assert_eq(bg_error_errno(unknown), EINVAL);
  cr_assert_null(strchr(unknown->message, '\n'));
}
