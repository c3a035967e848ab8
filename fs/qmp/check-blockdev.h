/* The options of a node against its driver's tables. */
#ifndef BGFS_QMP_CHECK_BLOCKDEV_H
#define BGFS_QMP_CHECK_BLOCKDEV_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

/* Those of a node, and below it those of its children. `prefix` is put before the names of members in messages: "" or "file.". */
bool bgfs_qmp_check_blockdev(JsonObject *object, const char *prefix, GError **error);

#endif
