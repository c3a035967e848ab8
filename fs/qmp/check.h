/* Arguments against their types, before any command sees them. */
#ifndef BGFS_QMP_CHECK_H
#define BGFS_QMP_CHECK_H

#include "fs/qmp/type.h"

#include <json-glib/json-glib.h>

/* `type` is an OBJECT or BLOCKDEV_OPTIONS. False and GenericError, naming the first member that is missing, unexpected or of another
 * type ("actions[0].type"). */
bool bgfs_qmp_check_arguments(const BgfsQmpType *type, JsonObject *arguments, GError **error);

#endif
