#include "fs/mountpoint.h"

#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static char *directory;

static void setup(void)
{
  directory = g_dir_make_tmp("mountpoint-XXXXXX", NULL);
  cr_assert_not_null(directory);
  cr_assert_eq(g_chdir(directory), 0);
  cr_assert_eq(g_mkdir("empty", 0700), 0);
  cr_assert_eq(g_mkdir("full", 0700), 0);
  cr_assert(g_file_set_contents("full/image", "x", 1, NULL));
  cr_assert(g_file_set_contents("image", "x", 1, NULL));
}

static void teardown(void)
{
  g_unlink("full/image");
  g_unlink("image");
  g_unlink("link");
  g_rmdir("full");
  g_rmdir("empty");
  g_rmdir(directory);
  g_free(directory);
}

TestSuite(mountpoint, .init = setup, .fini = teardown);

static void assert_refused(const char *path, int err)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_mountpoint_check(path, NULL, &error), "%s", path);
  cr_assert_eq(bg_error_errno(error), err, "%s: %s", path, error->message);
  cr_assert_not_null(strstr(error->message, path));
}

Test(mountpoint, an_empty_directory_by_its_real_name)
{
  cr_assert_eq(symlink("empty", "link"), 0);
  g_autofree char *plain = bgfs_mountpoint_check("empty", "image", NULL);
  g_autofree char *linked = bgfs_mountpoint_check("link/", NULL, NULL);
  cr_assert(g_path_is_absolute(plain));
  cr_assert_str_eq(plain, linked);
}

Test(mountpoint, what_cannot_take_a_mount)
{
  assert_refused("missing", ENOENT);
  assert_refused("image", ENOTDIR);
  assert_refused("full", ENOTEMPTY);
  assert_refused("", ENOENT);
}

Test(mountpoint, an_image_inside)
{
  cr_assert_eq(symlink("full/image", "link"), 0);
  g_autoptr(GError) error = NULL;
  cr_assert_not(bgfs_mountpoint_check_file("full", "full/image", &error));
  cr_assert_eq(bg_error_errno(error), EINVAL);
  cr_assert_not(bgfs_mountpoint_check_file("full", "link", NULL), "through a link");
  cr_assert_not(bgfs_mountpoint_check_file(directory, "full/image", NULL), "deeper");
  g_clear_error(&error);
  cr_assert_null(bgfs_mountpoint_check("full", "full/image", &error));
  cr_assert_eq(bg_error_errno(error), EINVAL, "the reason is not that it is not empty");
  cr_assert(bgfs_mountpoint_check_file("full", "image", NULL));
  cr_assert(bgfs_mountpoint_check_file("empty", "full/image", NULL));
}
