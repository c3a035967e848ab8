/* Changing the dirty bitmaps of nodes. */
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
  bool persistent;      /* ADD: the image keeps it; ENOTSUP: it cannot */
  bool disabled;        /* ADD: it does not record */
  const BgBitmapSource *sources; /* MERGE: what is dirty in these will be, in the bitmap, too */
  size_t source_count;
} BgBitmapAction;

/* For transactions (transaction.h). Bitmaps of an image are there while it is writable, so from now on it is, if it can be; it is stored when
 * that ends. Copies the action; the names in it outlive the step. Errors have QEMU's wording; EBUSY: a
 * job works with the bitmap, or one that would be merged into it. */
struct BgStep *bg_bitmap_step_new(const BgBitmapAction *action);

/* Whoever changes a bitmap other than by writing calls this first, alone with the node: if its image keeps it, what is there now counts as in use,
 * durably. EROFS, or the storage's error. */
bool bg_bitmap_touch(BgNode *node, const BgBitmap *bitmap, GError **error);

#endif
