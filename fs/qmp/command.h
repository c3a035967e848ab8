/* The commands: one table, from which arguments are checked, the schema and the manual are made, and calls find their way. */
#ifndef BGFS_QMP_COMMAND_H
#define BGFS_QMP_COMMAND_H

#include "fs/closing.h"
#include "fs/notify.h"
#include "fs/qmp/type.h"
#include "graph/secret.h"

#include <json-glib/json-glib.h>

/* What commands work on: one mount. Its parts outlive the server. */
typedef struct BgfsQmpMount {
  BgGraph *graph;
  BgfsNotify *notify;     /* NULL: nobody is told */
  BgfsClosing *closing;   /* NULL: nothing is ever closing */
  const char *mountpoint; /* absolute; NULL: there is none */
  BgSecrets *secrets;     /* the graph's; NULL: none can be added */
  struct BgfsQmpObjects *objects;
  void (*quit)(void *data);
  void *quit_data;
} BgfsQmpMount;

/* Carries the command out: arguments are of the command's type. What it returns is the caller's: an empty object where there is nothing to
 * tell; NULL and error if it was not done, and then nothing has changed. Any thread. */
typedef JsonNode *BgfsQmpHandler(const BgfsQmpMount *mount, JsonObject *arguments, GError **error);

typedef enum {
  BGFS_QMP_CHANGES_FILES =
      1 << 0 /* which files there are, or what they show: the kernel knows before the answer goes out */
} BgfsQmpCommandFlags;

typedef struct BgfsQmpCommand {
  const char *name; /* NULL ends a table */
  BgfsQmpHandler *handler;
  const BgfsQmpType *arguments; /* an OBJECT or BLOCKDEV_OPTIONS */
  const BgfsQmpType *result;
  unsigned flags;
  const char *help; /* sentences */
} BgfsQmpCommand;

/* All tables, NULL-terminated; each ends with a NULL name. */
const BgfsQmpCommand *const *bgfs_qmp_commands(void);
/* NULL: there is none of that name. */
const BgfsQmpCommand *bgfs_qmp_command_find(const char *name);

/* An empty object, for commands that return nothing. */
JsonNode *bgfs_qmp_done(void);

extern const BgfsQmpCommand bgfs_qmp_create_commands[], bgfs_qmp_job_start_commands[], bgfs_qmp_bitmap_commands[],
    bgfs_qmp_object_commands[], bgfs_qmp_control_commands[], bgfs_qmp_image_commands[], bgfs_qmp_transaction_commands[],
    bgfs_qmp_job_commands[], bgfs_qmp_medium_commands[], bgfs_qmp_node_commands[], bgfs_qmp_query_commands[],
    bgfs_qmp_stats_commands[];

/* {"qemu": …, "package": …} */
JsonNode *bgfs_qmp_version(void);

#endif
