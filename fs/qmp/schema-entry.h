/* What the schema is made of: entries that name each other. */
#ifndef BGFS_QMP_SCHEMA_ENTRY_H
#define BGFS_QMP_SCHEMA_ENTRY_H

#include "fs/qmp/type.h"

#include <json-glib/json-glib.h>

typedef struct BgfsQmpSchema {
  JsonArray *entries;
  GHashTable *names; /* those that are in it */
} BgfsQmpSchema;

/* Begins an entry, which is the schema's; NULL: there is one of that name. */
JsonObject *bgfs_qmp_schema_begin(BgfsQmpSchema *schema, const char *name, const char *meta_type);
/* The name as the schema holds it: of an entry that is there. */
const char *bgfs_qmp_schema_name(BgfsQmpSchema *schema, const char *name);
/* A member of an object. */
void bgfs_qmp_schema_member(JsonArray *members, const char *name, const char *type, bool optional);

/* Adds an enumeration, or a type that is made of no others, unless it is there. Its name, owned by the schema. */
const char *bgfs_qmp_schema_enum(BgfsQmpSchema *schema, const char *name, const char *const *values);
const char *bgfs_qmp_schema_builtin(BgfsQmpSchema *schema, const BgfsQmpType *type);

#endif
