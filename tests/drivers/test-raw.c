#include "drivers/registry.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const char digits[] = "0123456789";

static BgChild *child_with_digits(void)
{
  BgChild *child = mem_child_new(10);
  memcpy(mem_child_data(child), digits, 10);
  return child;
}

static Shim *open_raw(BgChild *file, const char *const *options, GError **error)
{
  ShimSetup setup = {.driver = bg_driver_find("raw"), .options = options, .file = file};
  return shim_open(&setup, error);
}

static void assert_bytes(Shim *raw, uint64_t offset, const char *expected, size_t length)
{
  char got[16];
  cr_assert_eq(shim_read(raw, got, length, offset), 0);
  cr_assert_eq(memcmp(got, expected, length), 0);
}

Test(raw, shows_the_whole_file)
{
  g_autoptr(BgChild) file = child_with_digits();
  g_autoptr(Shim) raw = open_raw(file, NULL, NULL);
  cr_assert_eq(shim_size(raw), 10);
  assert_bytes(raw, 0, digits, 10);
  BgExtent extent;
  cr_assert_eq(shim_map(raw, 3, 4, &extent), 0);
  cr_assert_eq(extent.child->role, BG_ROLE_FILTERED | BG_ROLE_PRIMARY);
  cr_assert_eq(extent.offset, 3);

  cr_assert(shim_set_writable(raw, true, NULL));
  cr_assert_eq(shim_write(raw, "ab", 2, 9), 0);
  cr_assert_eq(shim_size(raw), 11);
  cr_assert_eq(shim_zero(raw, 0, 2, BG_ZERO_NONE), 0);
  assert_bytes(raw, 0, "\0\0002345678ab", 11);
  cr_assert_eq(mem_child_count(file, MEM_ZERO), 1);
  cr_assert_eq(shim_discard(raw, 2, 3), 0);
  cr_assert_eq(mem_child_count(file, MEM_DISCARD), 1);
  cr_assert_eq(shim_resize(raw, 20), 0);
  cr_assert_eq(file->ops->size(file), 20);
}

Test(raw, window)
{
  static const char *const options[] = {"offset", "2", "size", "5", NULL};
  g_autoptr(BgChild) file = child_with_digits();
  g_autoptr(Shim) raw = open_raw(file, options, NULL);
  cr_assert_eq(shim_size(raw), 5);
  assert_bytes(raw, 0, "23456\0", 6);
  BgExtent extent;
  cr_assert_eq(shim_map(raw, 1, 4, &extent), 0);
  cr_assert_eq(extent.child->role, BG_ROLE_DATA | BG_ROLE_PRIMARY);

  cr_assert(shim_set_writable(raw, true, NULL));
  cr_assert_eq(shim_write(raw, "ab", 2, 3), 0);
  cr_assert_eq(memcmp(mem_child_data(file), "01234ab789", 10), 0);
  cr_assert_eq(shim_write(raw, "ab", 2, 4), -ENOSPC);
  cr_assert_eq(shim_resize(raw, 6), -EFBIG);
  cr_assert_eq(file->ops->size(file), 10);
}

Test(raw, tail_grows)
{
  static const char *const options[] = {"offset", "8", NULL};
  g_autoptr(BgChild) file = child_with_digits();
  g_autoptr(Shim) raw = open_raw(file, options, NULL);
  cr_assert_eq(shim_size(raw), 2);
  cr_assert(shim_set_writable(raw, true, NULL));
  cr_assert_eq(shim_write(raw, "abc", 3, 1), 0);
  cr_assert_eq(shim_size(raw), 4);
  cr_assert_eq(shim_resize(raw, 1), 0);
  cr_assert_eq(file->ops->size(file), 9);
  cr_assert_eq(shim_resize(raw, INT64_MAX - 7), -EFBIG);
  cr_assert_eq(file->ops->resize(file, 3), 0);
  cr_assert_eq(shim_size(raw), 0, "a file that got too short shows nothing");
}

static void assert_refused(const char *offset, const char *size, const char *message)
{
  const char *const options[] = {"offset", offset, "size", size, NULL};
  g_autoptr(BgChild) file = child_with_digits();
  g_autoptr(GError) error = NULL;
  cr_assert_null(open_raw(file, options, &error));
  cr_assert_eq(bg_error_errno(error), EINVAL);
  cr_assert_str_eq(error->message, message);
}

Test(raw, windows_that_do_not_fit)
{
  assert_refused("11", "0", "offset 11 is past the end of the file, which has 10 bytes");
  assert_refused("0", "11", "size 11 at offset 0 reaches past the end of the file, which has 10 bytes");
  assert_refused("9", "2", "size 2 at offset 9 reaches past the end of the file, which has 10 bytes");
  assert_refused("10", "9223372036854775807",
                 "size 9223372036854775807 at offset 10 reaches past the end of the file, which has 10 bytes");
  assert_refused("9223372036854775807", "1",
                 "offset 9223372036854775807 is past the end of the file, which has 10 bytes");
}

Test(raw, needs_a_file)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(open_raw(NULL, NULL, &error));
  cr_assert_eq(bg_error_errno(error), ENOENT);
}

Test(raw, reopen_moves_the_window)
{
  static const char *const first[] = {"offset", "2", "size", "5", NULL}, *const second[] = {"offset", "4", NULL},
                           *const wrong[] = {"offset", "20", NULL};
  g_autoptr(BgChild) file = child_with_digits();
  g_autoptr(Shim) raw = open_raw(file, first, NULL);
  cr_assert(shim_set_options(raw, second, NULL));
  assert_bytes(raw, 0, "456789", 6);
  cr_assert_eq(shim_size(raw), 6);
  cr_assert_not(shim_set_options(raw, wrong, NULL));
  cr_assert_eq(shim_size(raw), 6);
  cr_assert(shim_set_options(raw, NULL, NULL));
  cr_assert_eq(shim_size(raw), 10);
}

/* Its child was taken as a filter takes it, which a window does not. */
Test(raw, whole_files_stay_whole)
{
  static const char *const window[] = {"offset", "2", NULL};
  g_autoptr(BgChild) file = child_with_digits();
  g_autoptr(Shim) raw = open_raw(file, NULL, NULL);
  g_autoptr(GError) error = NULL;
  cr_assert_not(shim_set_options(raw, window, &error));
  cr_assert_eq(bg_error_errno(error), EINVAL);
  cr_assert(g_str_has_prefix(error->message, "Cannot change the option 'offset'"));
  cr_assert_eq(shim_size(raw), 10);
}

Test(raw, limits_follow_the_child)
{
  static const char *const aligned[] = {"offset", "4096", NULL}, *const odd[] = {"offset", "512", "size", "512", NULL};
  g_autoptr(BgChild) file = mem_child_new(8192);
  mem_child_set_limits(file, &(BgLimits){4096, 4096, true});
  BgLimits limits;
  g_autoptr(Shim) whole = open_raw(file, aligned, NULL);
  shim_limits(whole, &limits);
  cr_assert_eq(limits.request_alignment, 4096);
  cr_assert(limits.grows);
  g_autoptr(Shim) part = open_raw(file, odd, NULL);
  shim_limits(part, &limits);
  cr_assert_eq(limits.request_alignment, 1);
  cr_assert_eq(limits.granularity, 1);
  cr_assert_not(limits.grows);
}

Test(raw, create)
{
  g_autoptr(BgChild) file = mem_child_new(0);
  cr_assert(shim_create(bg_driver_find("raw"), NULL, &(BgCreate){.size = 12345, .file = file}, NULL));
  cr_assert_eq(file->ops->size(file), 12345);
  g_autoptr(GError) error = NULL;
  BgCreate backed = {.size = 1, .file = file, .backing_file = "base", .backing_format = "raw"};
  cr_assert_not(shim_create(bg_driver_find("raw"), NULL, &backed, &error));
  cr_assert_eq(bg_error_errno(error), ENOTSUP);
}
