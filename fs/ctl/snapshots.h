/* The internal snapshots of a node, as the daemon lists them. */
#ifndef BGFS_CTL_SNAPSHOTS_H
#define BGFS_CTL_SNAPSHOTS_H

#include "drivers/snapshot.h"
#include "fs/ctl/command.h"

/* Out of what query-named-block-nodes returned: BgSnapshot *, none for an image without. NULL: ENOENT, there is no such node. */
GPtrArray *bgfs_ctl_snapshots_parse(JsonNode *nodes, const char *node, GError **error);

/* Asks the daemon that `ctl` is connected to. */
GPtrArray *bgfs_ctl_snapshots_query(BgfsCtl *ctl, const char *node, GError **error);

#endif
