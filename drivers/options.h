/* Typed options of a driver, from one table that feeds parsing, reopen, help, schema and man page. */
#ifndef BG_OPTIONS_H
#define BG_OPTIONS_H

#include "drivers/dict.h"

#include <stddef.h>
#include <stdint.h>

typedef enum {
  BG_OPTION_BOOL,   /* bool: on, off (also true/false, yes/no) */
  BG_OPTION_UINT,   /* uint64_t: decimal */
  BG_OPTION_SIZE,   /* uint64_t: bytes, with an optional suffix B K M G T P E (powers of 1024), "1.5G" too */
  BG_OPTION_STRING, /* char *, NULL where unset and without a default, or given empty; owned by the struct */
  BG_OPTION_ENUM    /* int: the index into `values` */
} BgOptionType;

typedef struct BgOption {
  const char *name; /* NULL ends a table */
  BgOptionType type;
  size_t offset;             /* of the field in the driver's options struct */
  const char *fallback;      /* parsed like a given value; NULL: zero, off, NULL or values[0] */
  const char *const *values; /* ENUM: NULL-terminated words */
  uint64_t min, max;         /* UINT and SIZE: the range allowed; max 0: no bound */
  bool required;
  bool changeable;  /* by a reopen, while the node stands */
  const char *help; /* one line, a noun phrase, no full stop */
} BgOption;

/* Types the options of `table` that are present in `dict`, taking them out of it, and the fallbacks of
 * those that are not, into `out` (a zeroed struct of the driver's). What the table does not name stays in
 * dict. NULL table: no options. On error (EINVAL: unfit value or required option missing; the message names the option)
 * `out` is cleared and dict as it was. */
bool bg_options_parse(const BgOption *table, BgDict *dict, void *out, GError **error);

/* The option of that name; NULL: none. NULL table: no options. */
const BgOption *bg_option_find(const BgOption *table, const char *name);

/* Frees the strings in `out` and zeroes its fields. */
void bg_options_clear(const BgOption *table, void *out);

/* False (EINVAL, "Cannot change the option 'X'") if an option that is not changeable differs. */
bool bg_options_check_change(const BgOption *table, const void *old, const void *new, GError **error);

/* The value as a string that bg_options_parse() reads back the same; NULL for an unset STRING. Caller frees. */
char *bg_option_format(const BgOption *option, const void *in);

/* Parses bytes with suffix as BG_OPTION_SIZE does. False: EINVAL, or ERANGE beyond INT64_MAX. */
bool bg_parse_size(const char *text, uint64_t *bytes, GError **error);
/* on/off as BG_OPTION_BOOL does. */
bool bg_parse_bool(const char *text, bool *value, GError **error);

#endif
