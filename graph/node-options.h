/* The options that every node has, and what inline children inherit of them (SEMANTICS, "Read-only, resolved"). */
#ifndef BG_NODE_OPTIONS_H
#define BG_NODE_OPTIONS_H

#include "graph/node.h"

/* The table, for help and schema. */
const BgOption *bg_node_options_table(void);

/* The option of that name that a node of the driver has; NULL: none. NULL driver: of those that every node has. */
const BgOption *bg_node_options_find(const BgDriver *driver, const char *name);

/* Takes them out of `dict`. EINVAL with the option's name. */
bool bg_node_options_parse(BgDict *dict, BgNodeOptions *common, GError **error);

/* Puts into an inline child's dictionary what it inherits from its parent and does not set itself. */
void bg_node_options_inherit(const BgNodeOptions *parent, BgKind parent_kind, unsigned role, BgDict *child);

#endif
