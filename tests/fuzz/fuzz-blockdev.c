/* A hostile argument of --blockdev, and every value in it as an option of every driver. */
#include "tests/fuzz/fuzz.h"

#include "drivers/registry.h"
#include "graph/blockdev.h"

#include <string.h>

static void type_options(const BgDriver *driver, const char *text)
{
  g_autoptr(BgDict) dict = bg_blockdev_parse(text, NULL);
  g_autofree void *typed = g_malloc0(MAX(driver->options_size, (size_t)1));
  if (driver->options && bg_options_parse(driver->options, dict, typed, NULL))
    bg_options_clear(driver->options, typed);
}

/* Without the comma that ends a value or the braces of JSON, what was parsed is written the same way again. */
static void check_round_trip(BgDict *dict)
{
  const char *key = bg_dict_first_key(dict);
  if (!key || strpbrk(key, ",={") || g_hash_table_size(dict) != 1)
    return;
  const char *value = g_hash_table_lookup(dict, key);
  if (strchr(value, ','))
    return;
  g_autofree char *text = g_strdup_printf("%s=%s", key, value);
  g_autoptr(BgDict) again = bg_blockdev_parse(text, NULL);
  if (again)
    g_assert_cmpstr(g_hash_table_lookup(again, key), ==, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup((const char *)data, size);
  g_autoptr(GError) error = NULL;
  g_autoptr(BgDict) dict = bg_blockdev_parse(text, &error);
  g_assert(!dict == !!error);
  if (!dict) {
    g_assert(!strchr(error->message, '\n'));
    return 0;
  }
  check_round_trip(dict);
  for (const BgDriver *const *driver = bg_drivers(); *driver; driver++)
    type_options(*driver, text);
  return 0;
}
