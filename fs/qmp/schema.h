/* What query-qmp-schema tells: all commands and events with their types, out of the tables; nodes' options out of the drivers'. */
#ifndef BGFS_QMP_SCHEMA_H
#define BGFS_QMP_SCHEMA_H

#include <json-glib/json-glib.h>

/* An array of SchemaInfo. The caller's. */
JsonNode *bgfs_qmp_schema(void);

#endif
