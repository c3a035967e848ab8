#include "fs/cli.h"

#include <criterion/criterion.h>
#include <string.h>

static BgfsOptions *parse(const char *text)
{
  char *argv[] = {"blockgraphfs", "-o", (char *)text, "image", "mnt", NULL};
  return bgfs_options_parse(5, argv, NULL);
}

Test(mount_options, what_libfuse_takes_is_handed_on_in_order)
{
  g_autoptr(BgfsOptions) options = parse("ro,nodev,,noatime,allow_other,fsname=x");
  cr_assert_str_eq(options->fuse->str, "ro,nodev,noatime,allow_other,fsname=x");
  cr_assert(options->read_only);
  cr_assert(options->allow_other);
}

Test(mount_options, read_only_alone_is_the_nodes_matter)
{
  g_autoptr(BgfsOptions) options = parse("read-only");
  cr_assert(options->read_only);
  cr_assert_str_empty(options->fuse->str);
}

Test(mount_options, what_mount_keeps_to_itself_is_skipped)
{
  g_autoptr(BgfsOptions) options =
      parse("auto,noauto,user,user=me,users,nofail,_netdev,defaults,x-gvfs-show,x-systemd.idle-timeout=5,relatime");
  cr_assert_not_null(options);
  cr_assert_str_empty(options->fuse->str);
}

Test(mount_options, commas_in_values_are_escaped)
{
  g_autoptr(BgfsOptions) options = parse("allow-reference=/a\\,b,fsname=c\\,d\\\\e,format=raw");
  cr_assert_str_eq(options->allowed->pdata[0], "/a,b");
  cr_assert_str_eq(options->fuse->str, "fsname=c\\,d\\\\e");
  cr_assert_str_eq(options->format, "raw");
}

Test(mount_options, values_where_none_belong_and_the_reverse)
{
  const char *const wrong[] = {"ro=1",     "format",     "fsname",          "noauto=1",
                               "nonsense", "nonsense=1", "allow-reference", "max_read=5"};
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(BgfsOptions) options = parse(wrong[i]);
    cr_assert_null(options, "%s", wrong[i]);
  }
}

Test(mount_options, io_uring_is_auto_or_off)
{
  g_autoptr(BgfsOptions) fallback = parse("ro"), on = parse("io_uring=auto"), off = parse("io_uring=off");
  cr_assert_not(fallback->no_io_uring);
  cr_assert_not(on->no_io_uring);
  cr_assert(off->no_io_uring);
  cr_assert_null(parse("io_uring=on"));
  cr_assert_null(parse("io_uring"));
}

Test(mount_options, passthrough_is_auto_or_off)
{
  g_autoptr(BgfsOptions) fallback = parse("ro"), on = parse("passthrough=auto"), off = parse("passthrough=off");
  cr_assert_not(fallback->no_passthrough);
  cr_assert_not(on->no_passthrough);
  cr_assert(off->no_passthrough);
  cr_assert_null(parse("passthrough=on"));
  cr_assert_null(parse("passthrough"));
}

Test(mount_options, cache_is_auto_none_or_writeback)
{
  g_autoptr(BgfsOptions) fallback = parse("ro"), none = parse("cache=none"), writeback = parse("cache=writeback");
  g_autoptr(BgfsOptions) alias = parse("writeback"), last = parse("cache=none,cache=auto");
  cr_assert_eq(fallback->caching, BGFS_CACHING_AUTO);
  cr_assert_eq(none->caching, BGFS_CACHING_NONE);
  cr_assert_eq(writeback->caching, BGFS_CACHING_WRITEBACK);
  cr_assert_eq(alias->caching, BGFS_CACHING_WRITEBACK);
  cr_assert_eq(last->caching, BGFS_CACHING_AUTO);
  cr_assert_null(parse("cache=all"));
}
