/* What query-qmp-schema tells: all commands and events with their types, out of the tables; nodes' options out of the drivers'. */
#ifndef BGFS_QMP_SCHEMA_H
#define BGFS_QMP_SCHEMA_H

#include "drivers/options.h"
#include "fs/qmp/command.h"

/* An array of SchemaInfo. The caller's. */
JsonNode *bgfs_qmp_schema(void);

/* ── for the files of the schema ── */

typedef struct BgfsQmpSchema {
  JsonArray *entries;
  GHashTable *names; /* those that are in it */
} BgfsQmpSchema;

/* Adds a type, and those that it is made of, unless they are there. Its name, owned by the schema. */
const char *bgfs_qmp_schema_type(BgfsQmpSchema *schema, const BgfsQmpType *type);
/* The same for the options of nodes. */
const char *bgfs_qmp_schema_blockdev(BgfsQmpSchema *schema);

/* Begins an entry, which is the schema's; NULL: there is one of that name. */
JsonObject *bgfs_qmp_schema_begin(BgfsQmpSchema *schema, const char *name, const char *meta_type);
/* The name as the schema holds it: of an entry that is there. */
const char *bgfs_qmp_schema_name(BgfsQmpSchema *schema, const char *name);
/* A member of an object. */
void bgfs_qmp_schema_member(JsonArray *members, const char *name, const char *type, bool optional);
/* An enumeration. */
const char *bgfs_qmp_schema_enum(BgfsQmpSchema *schema, const char *name, const char *const *values);

#endif
