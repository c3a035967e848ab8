/* What the files of check.h share. */
#ifndef BGFS_QMP_CHECK_PRIVATE_H
#define BGFS_QMP_CHECK_PRIVATE_H

#include "fs/qmp/check.h"

/* `path` names the value in messages. */
bool bgfs_qmp_check_value(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error);

/* The options of a node, and below it those of its children. `prefix` is put before the names of members in messages: "" or "file.". */
bool bgfs_qmp_check_blockdev(JsonObject *object, const char *prefix, GError **error);

/* Each sets the error and returns false. */
bool bgfs_qmp_refuse_missing(const char *prefix, const char *name, GError **error);
bool bgfs_qmp_refuse_unexpected(const char *prefix, const char *name, GError **error);
bool bgfs_qmp_refuse_type(const char *path, const char *expected, GError **error);
bool bgfs_qmp_refuse_word(const char *path, const char *word, GError **error);

#endif
