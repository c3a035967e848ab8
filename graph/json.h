/* Strict parsing of JSON from outside; json-glib alone takes comments, octal numbers, integers that do not fit, repeated
 * members and any depth. */
#ifndef BG_JSON_H
#define BG_JSON_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

/* The value that `text` is; the caller frees. `max_depth`: of nested objects and arrays. NULL and EINVAL, with one line that
 * names the place, for anything but one JSON value without repeated members, integers outside int64_t and \u0000. */
JsonNode *bg_json_parse(const char *text, unsigned max_depth, GError **error);

#endif
