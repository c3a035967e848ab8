#include "fs/ring/processors.h"

#include <criterion/criterion.h>
#include <unistd.h>

static char *parsed(const char *list)
{
  g_autoptr(GArray) processors = bgfs_processors_parse(list);
  if (!processors)
    return g_strdup("-");
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < processors->len; i++)
    g_string_append_printf(text, "%s%u", i ? " " : "", g_array_index(processors, unsigned, i));
  return g_string_free(text, FALSE);
}

Test(processors, lists_are_numbers_and_ranges_in_order)
{
  const struct {
    const char *list, *numbers;
  } cases[] = {
      {"0\n", "0"},           {"0-3", "0 1 2 3"}, {"0-1,4,6-7\n", "0 1 4 6 7"}, {"2", "2"}, {"8191", "8191"},
      {"", "-"},              {"\n", "-"},        {"0,", "-"},                  {"-3", "-"}, {"3-1", "-"},
      {"0-", "-"},            {"1,0", "-"},       {"0-2,2", "-"},               {"0 1", "-"}, {"x", "-"},
      {"0-4294967295", "-"}, {"8192", "-"},      {"0\n1", "-"},                {"0x3", "-"}, {"99999999999999999999", "-"},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *numbers = parsed(cases[i].list);
    cr_expect_str_eq(numbers, cases[i].numbers, "'%s': %s", cases[i].list, numbers);
  }
}

Test(processors, those_of_this_machine)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) possible = bgfs_processors("possible", &error), online = bgfs_processors("online", &error);
  cr_assert_null(error);
  cr_assert_eq(online->len, (guint)sysconf(_SC_NPROCESSORS_ONLN));
  cr_assert_geq(possible->len, online->len);
}

Test(processors, there_is_no_such_list)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_processors("nonsense", &error));
  cr_assert(strstr(error->message, "/sys/devices/system/cpu/nonsense"), "%s", error->message);
}
