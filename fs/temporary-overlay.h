/* The mount option --snapshot: writes go to an overlay that vanishes with the mount. */
#ifndef BGFS_TEMPORARY_OVERLAY_H
#define BGFS_TEMPORARY_OVERLAY_H

#include "fs/cli.h"
#include "graph/graph.h"

/* Makes a qcow2 overlay in $TMPDIR of the size of the image at `filename` (absolute) and adds it as node `name`,
 * with the image, for good read-only, as its backing disk. The overlay has no name any more when this returns. */
bool bgfs_temporary_overlay_add(BgGraph *graph, const BgfsOptions *options, const char *name, const char *filename,
                                GError **error);

#endif
