/* Nodes as arguments name them. */
#ifndef BGFS_QMP_FIND_H
#define BGFS_QMP_FIND_H

#include "fs/qmp/command.h"

/* GenericError "Failed to find node with node-name='NAME'". */
BgNode *bgfs_qmp_find_node(const BgfsQmpMount *mount, const char *name, GError **error);
/* The same where QEMU also takes the name of a device, of which there are none here: "Cannot find device='NAME' nor node-name='NAME'". */
BgNode *bgfs_qmp_find_device(const BgfsQmpMount *mount, const char *name, GError **error);
/* By two members of which one is given. */
BgNode *bgfs_qmp_find_either(const BgfsQmpMount *mount, JsonObject *arguments, const char *device,
                             const char *node_name, GError **error);

#endif
