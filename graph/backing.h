/* What an image says of its backing file: changed while the graph is in use. */
#ifndef BG_BACKING_H
#define BG_BACKING_H

#include "graph/graph.h"

/* What `node`'s image shall record; both NULL: no backing file. */
typedef struct BgBackingRecord {
  BgNode *node;
  const char *file, *format;
} BgBackingRecord;

/* Writes it (`record` is a BgBackingRecord): the last step of a proposal, in which the node is writable. The driver can change_backing(). */
bool bg_backing_write(void *record, GError **error);

/* A change. The node's image records `file` in `format` as its backing file from now on (both NULL: none), durably; its children stay (QEMU's
 * change-backing-file). The node is writable for the time, whatever its option read-only says. ENOTSUP: its format records none; EBUSY: a job
 * keeps its backing link, or somebody does not let it be written; EROFS, EACCES, EINVAL …. On failure the old record stands. */
bool bg_node_record_backing(BgNode *node, const char *file, const char *format, GError **error);

#endif
