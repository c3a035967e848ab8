#include "fs/mounted.h"

#include <criterion/criterion.h>

static const char mountinfo[] = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                                "40 21 0:40 / /a rw - tmpfs tmpfs rw\n"
                                "41 40 0:41 / /a rw,nosuid shared:5 master:2 - fuse.blockgraphfs /x/disk.qcow2 rw\n"
                                "42 21 0:42 / /with\\040space rw - fuse.blockgraphfs blockgraphfs rw\n"
                                "broken line\n";

static void assert_type(const char *path, const char *type)
{
  g_autofree char *found = bgfs_mounted_type(mountinfo, path);
  if (type)
    cr_assert_str_eq(found, type);
  else
    cr_assert_null(found);
}

Test(mounted, the_topmost_mount_counts)
{
  assert_type("/a", "fuse.blockgraphfs");
  assert_type("/", "ext4");
  assert_type("/with space", "fuse.blockgraphfs");
  assert_type("/b", NULL);
  assert_type("/a/b", NULL);
}

Test(mounted, what_is_no_mount_of_ours_is_refused)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_mounted_find("/proc", &error));
  cr_assert_not_null(error);
  g_clear_error(&error);
  cr_assert_null(bgfs_mounted_find("/does/not/exist", &error));
  cr_assert_not_null(error);
}
