#include "fs/mounted.h"

#include <criterion/criterion.h>

static const char mountinfo[] = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                                "40 21 0:40 / /a rw - tmpfs tmpfs rw\n"
                                "41 40 0:41 / /a rw,nosuid shared:5 master:2 - fuse.blockgraphfs /x/disk.qcow2 "
                                "rw,user_id=1000,group_id=100,allow_other\n"
                                "42 21 0:42 / /with\\040space rw - fuse.blockgraphfs blockgraphfs rw\n"
                                "broken line\n";

static void assert_type(const char *path, const char *type)
{
  g_auto(BgfsMounted) mounted = {0};
  bool found = bgfs_mounted_parse(mountinfo, path, &mounted);
  cr_assert_eq(found, type != NULL, "%s", path);
  if (type)
    cr_assert_str_eq(mounted.type, type);
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
  g_auto(BgfsMounted) mounted = {0};
  g_autoptr(GError) error = NULL;
  cr_assert_not(bgfs_mounted_find("/proc", &mounted, &error));
  cr_assert_not_null(error);
  g_clear_error(&error);
  cr_assert_not(bgfs_mounted_find("/does/not/exist", &mounted, &error));
  cr_assert_not_null(error);
}

Test(mounted, its_owner_is_known)
{
  g_auto(BgfsMounted) mounted = {0};
  cr_assert(bgfs_mounted_parse(mountinfo, "/a", &mounted));
  cr_assert_str_eq(mounted.path, "/a");
  cr_assert_eq(mounted.uid, 1000);
  cr_assert_eq(mounted.gid, 100);
}
