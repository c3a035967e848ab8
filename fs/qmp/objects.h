/* Credentials for TLS that clients defined by a name. (Secrets are the graph's: graph/secret.h.) */
#ifndef BGFS_QMP_OBJECTS_H
#define BGFS_QMP_OBJECTS_H

#include "drivers/dict.h"

/* Any thread. */
typedef struct BgfsQmpObjects BgfsQmpObjects;

BgfsQmpObjects *bgfs_qmp_objects_new(void);
void bgfs_qmp_objects_free(BgfsQmpObjects *objects); /* NULL is fine */

/* The certificates in `directory` get the name `id`. False: there is one of that name. */
bool bgfs_qmp_objects_add(BgfsQmpObjects *objects, const char *id, const char *directory);
/* False: there is none of that name. Nodes that were opened with it keep it. */
bool bgfs_qmp_objects_remove(BgfsQmpObjects *objects, const char *id);
bool bgfs_qmp_objects_has(BgfsQmpObjects *objects, const char *id);

/* Puts the directory in the place of each name that an option "tls-creds", of the node or a child, holds. NULL: there are no objects. */
void bgfs_qmp_objects_resolve(BgfsQmpObjects *objects, BgDict *options);

#endif
