/* The options of nodes in the schema, out of the drivers' tables. */
#ifndef BGFS_QMP_SCHEMA_BLOCKDEV_H
#define BGFS_QMP_SCHEMA_BLOCKDEV_H

#include "fs/qmp/schema-entry.h"

/* Adds them, and the types that they are made of, unless they are there. Their name, owned by the schema. */
const char *bgfs_qmp_schema_blockdev(BgfsQmpSchema *schema);

#endif
