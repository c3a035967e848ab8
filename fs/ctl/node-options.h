/* A node's options as people write them, to the JSON that blockdev-add takes. */
#ifndef BGFS_CTL_NODE_OPTIONS_H
#define BGFS_CTL_NODE_OPTIONS_H

#include "drivers/dict.h"

#include <json-glib/json-glib.h>

/* `text` in one of --blockdev's syntaxes (graph/blockdev.h); file names become absolute, for the daemon has another working directory. NULL: EINVAL. */
BgDict *bgfs_ctl_options_parse(const char *text, GError **error);

/* Nested, with numbers and booleans where the drivers' option tables have such. Values that are of no such type, and options that no table has, stay
 * texts: the daemon says what is wrong with them. */
JsonObject *bgfs_ctl_options_json(const BgDict *options);

/* Adds the options that the daemon says a node has ("cache.direct": true) where `options` does not name them. */
void bgfs_ctl_options_keep(BgDict *options, JsonObject *present);

#endif
