/* What commands do that can also be actions of a transaction. */
#ifndef BGFS_QMP_ACTION_H
#define BGFS_QMP_ACTION_H

#include "fs/qmp/command.h"
#include "graph/append.h"
#include "graph/bitmaps.h"

/* ── arguments to what the graph takes; the structs point into `data` ── */

/* `type` is the command's name: block-dirty-bitmap-add … False if it is none of those, without an error, or with one. *sources, the caller's, is
 * what the action points to. */
bool bgfs_qmp_bitmap_action(const BgfsQmpMount *mount, const char *type, JsonObject *data, BgBitmapAction *action,
                            BgBitmapSource **sources, GError **error);
bool bgfs_qmp_is_bitmap_action(const char *type);

bool bgfs_qmp_append_action(const BgfsQmpMount *mount, JsonObject *data, BgAppend *append, GError **error);

/* blockdev-snapshot-internal-sync. *id: of the snapshot that was taken; the caller frees. */
bool bgfs_qmp_take_snapshot(const BgfsQmpMount *mount, JsonObject *data, BgNode **node, char **id, GError **error);

/* ── the types of the arguments ── */

extern const BgfsQmpType bgfs_qmp_bitmap_type, bgfs_qmp_bitmap_add_type, bgfs_qmp_bitmap_merge_type,
    bgfs_qmp_append_type, bgfs_qmp_snapshot_type;

#endif
