/* What commands do that can also be actions of a transaction. */
#ifndef BGFS_QMP_ACTION_H
#define BGFS_QMP_ACTION_H

#include "fs/qmp/command.h"
#include "graph/transaction.h"

/* Adds what a command does with these arguments, of its type, to a transaction. */
typedef bool BgfsQmpAction(const BgfsQmpMount *mount, const char *command, JsonObject *arguments,
                           BgTransaction *transaction, GError **error);

/* block-dirty-bitmap-add, -remove, -clear, -enable, -disable, -merge */
BgfsQmpAction bgfs_qmp_bitmap_action;
/* blockdev-snapshot */
BgfsQmpAction bgfs_qmp_append_action;
/* blockdev-snapshot-internal-sync */
BgfsQmpAction bgfs_qmp_snapshot_action;
/* blockdev-backup */
BgfsQmpAction bgfs_qmp_backup_action;

/* A command as a transaction of its own. */
JsonNode *bgfs_qmp_act(const BgfsQmpMount *mount, BgfsQmpAction *action, const char *command, JsonObject *arguments,
                       GError **error);

/* ── the types of the arguments ── */

extern const BgfsQmpType bgfs_qmp_bitmap_type, bgfs_qmp_bitmap_add_type, bgfs_qmp_bitmap_merge_type,
    bgfs_qmp_append_type, bgfs_qmp_snapshot_type, bgfs_qmp_backup_type;

#endif
