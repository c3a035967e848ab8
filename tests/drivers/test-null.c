#include "drivers/driver.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <string.h>

static void *open_null(const BgDriver *driver, void *options, const char *key, const char *value)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  if (key)
    bg_dict_set(dict, key, value);
  cr_assert(bg_options_parse(driver->options, dict, options, NULL));
  void *instance = driver->open(NULL, options, &(BgMode){0}, NULL);
  cr_assert_not_null(instance);
  return instance;
}

Test(null, forgets)
{
  const BgDriver *driver = bg_driver_find("null-co");
  g_autofree void *options = g_malloc0(driver->options_size);
  void *null = open_null(driver, options, NULL, NULL);
  cr_assert_eq(driver->size(null), 1 << 30);
  char bytes[8] = "abcdefg";
  struct iovec iov[] = {{bytes, 3}, {bytes + 3, 5}};
  cr_assert_eq(driver->pwritev(null, iov, 2, 5), 0);
  cr_assert_eq(driver->preadv(null, iov, 2, 5), 0);
  cr_assert_eq(memcmp(bytes, "\0\0\0\0\0\0\0", 8), 0);
  cr_assert_eq(driver->flush(null), 0);
  cr_assert_eq(driver->allocated(null), 0);
  driver->close(null);
}

Test(null, read_zeroes_reports_holes)
{
  const BgDriver *driver = bg_driver_find("null-co");
  for (int on = 0; on < 2; on++) {
    g_autofree void *options = g_malloc0(driver->options_size);
    void *null = open_null(driver, options, "read-zeroes", on ? "on" : "off");
    BgExtent extent;
    cr_assert_eq(driver->map(null, 10, 20, &extent), 0);
    cr_assert_eq(extent.kind, on ? BG_EXTENT_ZERO : BG_EXTENT_DATA);
    cr_assert_eq(extent.length, 20);
    driver->close(null);
  }
}

Test(null, latency_passes_and_can_be_changed)
{
  const BgDriver *driver = bg_driver_find("null-co");
  g_autofree void *slow = g_malloc0(driver->options_size), *fast = g_malloc0(driver->options_size);
  void *null = open_null(driver, slow, "latency-ns", "20000000");
  gint64 start = g_get_monotonic_time();
  cr_assert_eq(driver->flush(null), 0);
  cr_assert_geq(g_get_monotonic_time() - start, 20000);

  g_autoptr(BgDict) none = bg_dict_new();
  cr_assert(bg_options_parse(driver->options, none, fast, NULL));
  cr_assert(bg_options_check_change(driver->options, slow, fast, NULL));
  void *pending;
  cr_assert(driver->change_open(null, &(BgMode){0}, fast, &pending, NULL));
  cr_assert(driver->change_settle(null, pending, NULL));
  driver->change_commit(null, pending);
  start = g_get_monotonic_time();
  for (int i = 0; i < 100; i++)
    cr_assert_eq(driver->flush(null), 0);
  cr_assert_lt(g_get_monotonic_time() - start, 1000000);
  driver->close(null);
}
