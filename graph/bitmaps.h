/* Changing the dirty bitmaps of nodes: several at one instant, all or none. */
#ifndef BG_GRAPH_BITMAPS_H
#define BG_GRAPH_BITMAPS_H

#include "graph/graph.h"

typedef enum {
  BG_BITMAP_ADD,
  BG_BITMAP_REMOVE, /* done last of all, whatever the order */
  BG_BITMAP_CLEAR,
  BG_BITMAP_ENABLE,
  BG_BITMAP_DISABLE,
  BG_BITMAP_MERGE
} BgBitmapVerb;

typedef struct BgBitmapSource {
  BgNode *node;
  const char *name;
} BgBitmapSource;

typedef struct BgBitmapAction {
  BgBitmapVerb verb;
  BgNode *node;
  const char *name;
  uint64_t granularity; /* ADD: bytes, a power of two of at least 512; 0: the node's, between 4 KiB and 64 KiB */
  bool persistent;      /* ADD: ENOTSUP, for images get no new ones */
  bool disabled;        /* ADD: it does not record */
  const BgBitmapSource *sources; /* MERGE: what is dirty in these will be, in the bitmap, too */
  size_t source_count;
} BgBitmapAction;

/* A change. All actions take effect at one instant, between the requests of all who can reach the nodes; or none, with QEMU's wording of
 * why. Those of an image are there while it is writable, so it becomes that for as long as this takes; they cannot be removed, nor told
 * whether to record. */
bool bg_bitmaps_change(BgGraph *graph, const BgBitmapAction *actions, size_t count, GError **error);

#endif
