/* Opening nodes from options: one batch is opened whole or not at all. */
#ifndef BG_OPEN_H
#define BG_OPEN_H

#include "graph/node.h"

#define BG_DEPTH_MAX 256 /* disks below each other, opened by one another */

/* What is opened together. */
typedef struct BgBatch {
  BgGraph *graph;
  GPtrArray *nodes; /* BgNode *, those opened so far */
} BgBatch;

/* A node whose driver is in open(): the context of its need_child() calls. */
typedef struct BgOpening {
  BgBatch *batch;
  BgNode *node;
  struct BgOpening *up; /* for whom this node is opened; NULL: for the user */
  BgDict *children;     /* options of children, not yet asked for */
  BgNode *storage;      /* the child `file`, where it was opened already to find the format; else NULL */
  unsigned depth;
} BgOpening;

/* How far to trust content when no driver is named. */
typedef enum {
  BG_PROBE_ANY,     /* the user named this image */
  BG_PROBE_RAW_ONLY /* an image named it: only what is of no known format is taken, as raw */
} BgProbe;

/* Opens the node that `options` (taken from) describe. Its name is options' node-name, else `name`, made unique. `up`: NULL for the user's
 * own. Where no driver is named, a lone `filename` means the driver file, or that of a URI, and `file` options mean the format of that file's content.
 * The node is in the batch; NULL on error (the batch is then to be dropped whole). */
BgNode *bg_open_node(BgBatch *batch, BgDict *options, const char *name, BgProbe probe, BgOpening *up, GError **error);

/* BgHost.need_child. */
bool bg_open_child(BgHost *host, const char *name, BgRole role, const char *reference, const char *format,
                   BgChild **child, GError **error);

/* A change. Nodes of the batch that are read-write by their options become so. On error the batch is to be dropped whole. */
bool bg_open_upgrade(BgBatch *batch, GError **error);

/* Shows the batch to the world. In the same moment those of `gone` (BgNode *; NULL: none) are hidden, of the first of which `to` has taken the
 * place. */
void bg_open_publish(BgBatch *batch, const GPtrArray *gone, BgNode *to);

/* Closes what the batch opened and forgets the nodes. */
void bg_open_drop(BgBatch *batch);

#endif
