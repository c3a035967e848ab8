#include "drivers/options.h"

#include "drivers/error.h"

#include <criterion/criterion.h>
#include <errno.h>

typedef struct Sample {
  bool flag;
  uint64_t count;
  uint64_t size;
  char *name;
  char *other;
  int mode;
} Sample;

static const char *const modes[] = {"auto", "on", "off", NULL};

static const BgOption table[] = {
    {"flag", BG_OPTION_BOOL, offsetof(Sample, flag), .fallback = "on", .changeable = true, .help = "a flag"},
    {"count", BG_OPTION_UINT, offsetof(Sample, count), .min = 2, .max = 10, .help = "a count"},
    {"size", BG_OPTION_SIZE, offsetof(Sample, size), .fallback = "1G", .min = 512, .help = "a size"},
    {"name", BG_OPTION_STRING, offsetof(Sample, name), .required = true, .help = "a name"},
    {"other", BG_OPTION_STRING, offsetof(Sample, other), .fallback = "else", .help = "another"},
    {"mode", BG_OPTION_ENUM, offsetof(Sample, mode), .fallback = "off", .values = modes, .help = "a mode"},
    {NULL}};

static BgDict *sample_dict(void)
{
  BgDict *dict = bg_dict_new();
  bg_dict_set(dict, "name", "n");
  return dict;
}

Test(options, fallbacks)
{
  g_autoptr(BgDict) dict = sample_dict();
  bg_dict_set(dict, "file", "stays");
  Sample sample = {0};
  g_autoptr(GError) error = NULL;
  cr_assert(bg_options_parse(table, dict, &sample, &error));
  cr_assert_null(error);
  cr_assert(sample.flag);
  cr_assert_eq(sample.count, 0);
  cr_assert_eq(sample.size, 1 << 30);
  cr_assert_str_eq(sample.name, "n");
  cr_assert_str_eq(sample.other, "else");
  cr_assert_eq(sample.mode, 2);
  cr_assert_eq(g_hash_table_size(dict), 1);
  cr_assert_str_eq(bg_dict_get(dict, "file"), "stays");
  bg_options_clear(table, &sample);
  cr_assert_null(sample.name);
  cr_assert_not(sample.flag);
}

Test(options, given_values)
{
  g_autoptr(BgDict) dict = sample_dict();
  bg_dict_set(dict, "flag", "no");
  bg_dict_set(dict, "count", "10");
  bg_dict_set(dict, "size", "1.5k");
  bg_dict_set(dict, "other", "");
  bg_dict_set(dict, "mode", "auto");
  Sample sample = {0};
  cr_assert(bg_options_parse(table, dict, &sample, NULL));
  cr_assert_not(sample.flag);
  cr_assert_eq(sample.count, 10);
  cr_assert_eq(sample.size, 1536);
  cr_assert_null(sample.other);
  cr_assert_eq(sample.mode, 0);
  bg_options_clear(table, &sample);
}

static void assert_refused(const char *key, const char *value, const char *message)
{
  g_autoptr(BgDict) dict = sample_dict();
  if (value)
    bg_dict_set(dict, key, value);
  else
    g_free(bg_dict_take(dict, key));
  guint before = g_hash_table_size(dict);
  Sample sample = {0};
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_options_parse(table, dict, &sample, &error), "%s=%s", key, value);
  cr_assert_eq(bg_error_errno(error), EINVAL);
  cr_assert_str_eq(error->message, message);
  cr_assert_null(sample.name);
  cr_assert_null(sample.other);
  cr_assert_eq(g_hash_table_size(dict), before);
}

Test(options, unfit_values)
{
  assert_refused("name", NULL, "the option 'name' is missing");
  assert_refused("name", "", "the option 'name' is missing");
  assert_refused("flag", "maybe", "option 'flag': 'maybe' is not on or off");
  assert_refused("flag", "", "option 'flag': '' is not on or off");
  assert_refused("count", "1", "option 'count': '1' is not between 2 and 10");
  assert_refused("count", "11", "option 'count': '11' is not between 2 and 10");
  assert_refused("count", "-3", "option 'count': '-3' is not a number");
  assert_refused("count", "3K", "option 'count': '3K' is not a number");
  assert_refused("count", "99999999999999999999",
                 "option 'count': '99999999999999999999' is not a number of at most 64 bits");
  assert_refused("size", "511", "option 'size': '511' is less than 512");
  assert_refused("size", "8E", "option 'size': '8E' is not a size below 8E");
  assert_refused("mode", "ON", "option 'mode': 'ON' is none of auto, on, off");
}

Test(options, sizes)
{
  static const struct {
    const char *text;
    uint64_t bytes;
  } good[] = {{"0", 0},
              {"512", 512},
              {"512B", 512},
              {"1k", 1024},
              {"64K", 65536},
              {"1.5G", 1610612736},
              {"0.1K", 102},
              {"2T", 2199023255552},
              {"1P", 1125899906842624},
              {"7E", 8070450532247928832},
              {"7.999999999999999999999999E", 9223372036854775806u},
              {"9223372036854775807", INT64_MAX}};
  for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
    uint64_t bytes = 1;
    g_autoptr(GError) error = NULL;
    cr_assert(bg_parse_size(good[i].text, &bytes, &error), "%s", good[i].text);
    cr_assert_eq(bytes, good[i].bytes, "%s gave %" G_GUINT64_FORMAT, good[i].text, bytes);
  }
}

Test(options, bad_sizes)
{
  static const struct {
    const char *text;
    int err;
  } bad[] = {{"", EINVAL},
             {"K", EINVAL},
             {"-1", EINVAL},
             {" 1", EINVAL},
             {"1 ", EINVAL},
             {"1KB", EINVAL},
             {"1.5", EINVAL},
             {"1.5B", EINVAL},
             {"1.G", EINVAL},
             {".5G", EINVAL},
             {"0x10", EINVAL},
             {"1e3", EINVAL},
             {"1Z", EINVAL},
             {"8E", ERANGE},
             {"9223372036854775808", ERANGE},
             {"99999999999999999999999", ERANGE},
             {"99999999999G", ERANGE}};
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
    uint64_t bytes = 42;
    g_autoptr(GError) error = NULL;
    cr_assert_not(bg_parse_size(bad[i].text, &bytes, &error), "%s", bad[i].text);
    cr_assert_eq(bg_error_errno(error), bad[i].err, "%s", bad[i].text);
    cr_assert_eq(bytes, 42);
  }
}

Test(options, format_reads_back)
{
  g_autoptr(BgDict) dict = sample_dict();
  bg_dict_set(dict, "count", "7");
  Sample sample = {0}, again = {0};
  cr_assert(bg_options_parse(table, dict, &sample, NULL));
  for (const BgOption *option = table; option->name; option++) {
    g_autofree char *text = bg_option_format(option, &sample);
    bg_dict_set(dict, option->name, text);
  }
  cr_assert(bg_options_parse(table, dict, &again, NULL));
  for (const BgOption *option = table; option->name; option++) {
    g_autofree char *text = bg_option_format(option, &sample);
    g_autofree char *text_again = bg_option_format(option, &again);
    cr_assert_str_eq(text, text_again);
  }
  bg_options_clear(table, &again);
  cr_assert_null(bg_option_format(&table[3], &again));
  bg_options_clear(table, &sample);
}

Test(options, only_changeable_ones_change)
{
  Sample old = {.flag = false, .name = "a"}, new = {.flag = true, .name = "a"};
  cr_assert(bg_options_check_change(table, &old, &new, NULL));
  new.name = "b";
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_options_check_change(table, &old, &new, &error));
  cr_assert_str_eq(error->message, "Cannot change the option 'name'");
  new.name = NULL;
  cr_assert_not(bg_options_check_change(table, &old, &new, NULL));
  new.name = "a";
  new.mode = 1;
  cr_assert_not(bg_options_check_change(table, &old, &new, NULL));
  cr_assert(bg_options_check_change(NULL, NULL, NULL, NULL));
}

Test(options, found_by_name)
{
  cr_assert_eq(bg_option_find(table, "size"), &table[2]);
  cr_assert_null(bg_option_find(table, "siz"));
  cr_assert_null(bg_option_find(NULL, "size"));
}
