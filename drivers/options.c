#include "drivers/options.h"

#include "drivers/error.h"

#include <errno.h>
#include <string.h>

#define FIELD(option, out, type)       ((type *)((char *)(out) + (option)->offset))
#define CONST_FIELD(option, out, type) ((const type *)((const char *)(out) + (option)->offset))

static bool refuse(GError **error, int err, const char *text, const char *expected)
{
  bg_set_error(error, err, "'%s' is not %s", text, expected);
  return false;
}

/* ── single values ── */

bool bg_parse_bool(const char *text, bool *value, GError **error)
{
  static const char *const words[][2] = {{"on", "off"}, {"true", "false"}, {"yes", "no"}};
  for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
    for (int off = 0; off < 2; off++)
      if (strcmp(text, words[i][off]) == 0) {
        *value = !off;
        return true;
      }
  return refuse(error, EINVAL, text, "on or off");
}

/* Reads decimal digits at *text, which moves behind them. False without a digit; *overflow tells of more than 64 bits. */
static bool take_digits(const char **text, uint64_t *value, bool *overflow)
{
  const char *start = *text;
  uint64_t sum = 0;
  for (; g_ascii_isdigit(**text); (*text)++)
    if (__builtin_mul_overflow(sum, (uint64_t)10, &sum) || __builtin_add_overflow(sum, (uint64_t)(**text - '0'), &sum))
      *overflow = true;
  *value = sum;
  return *text > start;
}

/* The digits behind a decimal point as bytes of `unit`, rounded down, from the first 18 of them. */
static uint64_t fraction_of(const char *digits, size_t count, uint64_t unit)
{
  unsigned __int128 numerator = 0, denominator = 1;
  for (size_t i = 0; i < MIN(count, (size_t)18); i++) {
    numerator = numerator * 10 + (unsigned)(digits[i] - '0');
    denominator *= 10;
  }
  return (uint64_t)(numerator * unit / denominator);
}

/* The factor that the suffix stands for; 0 where it is none. */
static uint64_t size_unit(const char *suffix)
{
  static const char letters[] = "BKMGTPE";
  if (suffix[0] == '\0')
    return 1;
  const char *letter = strchr(letters, g_ascii_toupper(suffix[0]));
  return letter && suffix[1] == '\0' ? (uint64_t)1 << (10 * (letter - letters)) : 0;
}

bool bg_parse_size(const char *text, uint64_t *bytes, GError **error)
{
  static const char expected[] = "a size (bytes, or a number with K, M, G, T, P or E)";
  const char *rest = text;
  uint64_t whole;
  bool overflow = false;
  if (!take_digits(&rest, &whole, &overflow))
    return refuse(error, EINVAL, text, expected);

  const char *digits = *rest == '.' ? rest + 1 : NULL;
  size_t count = digits ? strspn(digits, "0123456789") : 0;
  uint64_t unit = size_unit(digits ? digits + count : rest);
  if (unit == 0 || (digits && (unit == 1 || count == 0)))
    return refuse(error, EINVAL, text, expected);
  uint64_t fraction = digits ? fraction_of(digits, count, unit) : 0;

  uint64_t sum;
  if (overflow || __builtin_mul_overflow(whole, unit, &sum) || __builtin_add_overflow(sum, fraction, &sum) ||
      sum > INT64_MAX)
    return refuse(error, ERANGE, text, "a size below 8E");
  *bytes = sum;
  return true;
}

static bool parse_uint(const char *text, uint64_t *value, GError **error)
{
  const char *rest = text;
  uint64_t sum;
  bool overflow = false;
  if (!take_digits(&rest, &sum, &overflow) || *rest != '\0')
    return refuse(error, EINVAL, text, "a number");
  if (overflow)
    return refuse(error, ERANGE, text, "a number of at most 64 bits");
  *value = sum;
  return true;
}

static bool parse_enum(const BgOption *option, const char *text, int *value, GError **error)
{
  for (int i = 0; option->values[i]; i++)
    if (strcmp(text, option->values[i]) == 0) {
      *value = i;
      return true;
    }
  g_autofree char *words = g_strjoinv(", ", (char **)option->values);
  bg_set_error(error, EINVAL, "'%s' is none of %s", text, words);
  return false;
}

static bool check_range(const BgOption *option, const char *text, uint64_t value, GError **error)
{
  if (value >= option->min && (option->max == 0 || value <= option->max))
    return true;
  if (option->max == 0)
    bg_set_error(error, EINVAL, "'%s' is less than %" G_GUINT64_FORMAT, text, option->min);
  else
    bg_set_error(error, EINVAL, "'%s' is not between %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT, text, option->min,
                 option->max);
  return false;
}

static bool parse_number(const BgOption *option, const char *text, uint64_t *value, GError **error)
{
  uint64_t number;
  if (!(option->type == BG_OPTION_SIZE ? bg_parse_size : parse_uint)(text, &number, error) ||
      !check_range(option, text, number, error))
    return false;
  *value = number;
  return true;
}

/* Types one value into its field. An empty value leaves a STRING unset. */
static bool parse_value(const BgOption *option, const char *text, void *out, GError **error)
{
  switch (option->type) {
  case BG_OPTION_BOOL:
    return bg_parse_bool(text, FIELD(option, out, bool), error);
  case BG_OPTION_UINT:
  case BG_OPTION_SIZE:
    return parse_number(option, text, FIELD(option, out, uint64_t), error);
  case BG_OPTION_ENUM:
    return parse_enum(option, text, FIELD(option, out, int), error);
  case BG_OPTION_STRING:
    *FIELD(option, out, char *) = *text ? g_strdup(text) : NULL;
    return true;
  }
  g_assert_not_reached();
}

/* ── tables ── */

static bool parse_option(const BgOption *option, const BgDict *dict, void *out, GError **error)
{
  const char *text = bg_dict_get(dict, option->name);
  if (option->required && (!text || !*text)) {
    bg_set_error(error, EINVAL, "the option '%s' is missing", option->name);
    return false;
  }
  if (!text)
    text = option->fallback;
  g_autoptr(GError) unfit = NULL;
  if (!text || parse_value(option, text, out, &unfit))
    return true;
  bg_set_error(error, EINVAL, "option '%s': %s", option->name, unfit->message);
  return false;
}

const BgOption *bg_option_find(const BgOption *table, const char *name)
{
  for (; table && table->name; table++)
    if (strcmp(table->name, name) == 0)
      return table;
  return NULL;
}

bool bg_options_parse(const BgOption *table, BgDict *dict, void *out, GError **error)
{
  if (!table)
    return true;
  for (const BgOption *option = table; option->name; option++)
    if (!parse_option(option, dict, out, error)) {
      bg_options_clear(table, out);
      return false;
    }
  for (const BgOption *option = table; option->name; option++)
    g_hash_table_remove(dict, option->name);
  return true;
}

void bg_options_clear(const BgOption *table, void *out)
{
  for (const BgOption *option = table; option && option->name; option++)
    switch (option->type) {
    case BG_OPTION_BOOL:
      *FIELD(option, out, bool) = false;
      break;
    case BG_OPTION_UINT:
    case BG_OPTION_SIZE:
      *FIELD(option, out, uint64_t) = 0;
      break;
    case BG_OPTION_ENUM:
      *FIELD(option, out, int) = 0;
      break;
    case BG_OPTION_STRING:
      g_clear_pointer(FIELD(option, out, char *), g_free);
      break;
    }
}

static bool same_value(const BgOption *option, const void *a, const void *b)
{
  switch (option->type) {
  case BG_OPTION_BOOL:
    return *CONST_FIELD(option, a, bool) == *CONST_FIELD(option, b, bool);
  case BG_OPTION_UINT:
  case BG_OPTION_SIZE:
    return *CONST_FIELD(option, a, uint64_t) == *CONST_FIELD(option, b, uint64_t);
  case BG_OPTION_ENUM:
    return *CONST_FIELD(option, a, int) == *CONST_FIELD(option, b, int);
  case BG_OPTION_STRING:
    return g_strcmp0(*CONST_FIELD(option, a, char *), *CONST_FIELD(option, b, char *)) == 0;
  }
  g_assert_not_reached();
}

bool bg_options_check_change(const BgOption *table, const void *old, const void *new, GError **error)
{
  for (const BgOption *option = table; option && option->name; option++)
    if (!option->changeable && !same_value(option, old, new)) {
      bg_set_error(error, EINVAL, "Cannot change the option '%s'", option->name);
      return false;
    }
  return true;
}

char *bg_option_format(const BgOption *option, const void *in)
{
  switch (option->type) {
  case BG_OPTION_BOOL:
    return g_strdup(*CONST_FIELD(option, in, bool) ? "on" : "off");
  case BG_OPTION_UINT:
  case BG_OPTION_SIZE:
    return g_strdup_printf("%" G_GUINT64_FORMAT, *CONST_FIELD(option, in, uint64_t));
  case BG_OPTION_ENUM:
    return g_strdup(option->values[*CONST_FIELD(option, in, int)]);
  case BG_OPTION_STRING:
    return g_strdup(*CONST_FIELD(option, in, char *));
  }
  g_assert_not_reached();
}
