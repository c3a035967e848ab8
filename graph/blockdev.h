/* --blockdev's two syntaxes, to the flat dictionary that bg_graph_add() takes. */
#ifndef BG_BLOCKDEV_H
#define BG_BLOCKDEV_H

#include "drivers/dict.h"

#include <json-glib/json-glib.h>

/* Text that begins with '{' is a JSON object (nested objects, strings, numbers, booleans; null and "" are
 * the empty value), else key=value,child.key=value with ",," for a comma in a value (QEMU's keyval syntax). NULL and EINVAL with
 * one line that names the place on error: duplicate or empty keys, lists, nesting over 64, over 1 MiB. */
BgDict *bg_blockdev_parse(const char *text, GError **error);

/* The same of a JSON object that was parsed already, strictly (graph/json.h). */
BgDict *bg_blockdev_from_json(JsonObject *object, GError **error);

/* A string, boolean or whole number as options are written; the caller's. NULL: it is something else, null included. */
char *bg_blockdev_value(JsonNode *value);

#endif
