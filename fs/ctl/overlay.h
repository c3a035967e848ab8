/* Overlays: a new image that stands on a node, and from then on takes what is written. */
#ifndef BGFS_CTL_OVERLAY_H
#define BGFS_CTL_OVERLAY_H

#include "fs/ctl/command.h"

/* Makes `file` (must not exist) a qcow2 image whose backing file is `node`'s, adds it to the graph as the node `name` (NULL: named after the file) and puts it on
 * `node`. A failure leaves neither the image nor the node. */
bool bgfs_ctl_overlay(BgfsCtl *ctl, const char *node, const char *file, const char *name, GError **error);

#endif
