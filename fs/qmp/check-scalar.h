/* Values that have no parts against their types, and how arguments are refused, in QEMU's words. */
#ifndef BGFS_QMP_CHECK_SCALAR_H
#define BGFS_QMP_CHECK_SCALAR_H

#include "fs/qmp/type.h"

#include <json-glib/json-glib.h>

/* Whether the value is, on the wire, what the type is: of arrays and objects nothing more than that. */
bool bgfs_qmp_looks_like(const BgfsQmpType *type, JsonNode *value);

/* `type` is none of arrays, objects and alternates; `path` names the value in messages. */
bool bgfs_qmp_check_scalar(const BgfsQmpType *type, JsonNode *value, const char *path, GError **error);

/* Each sets the error and returns false. `prefix` is put before the names of members: "" or "file.". */
bool bgfs_qmp_refuse_missing(const char *prefix, const char *name, GError **error);
bool bgfs_qmp_refuse_unexpected(const char *prefix, const char *name, GError **error);
bool bgfs_qmp_refuse_type(const char *path, const char *expected, GError **error);
bool bgfs_qmp_refuse_word(const char *path, const char *word, GError **error);

#endif
