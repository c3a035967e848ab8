/* An image as its file alone tells of it: for commands that look at images without mounting them. */
#ifndef BG_IMAGE_H
#define BG_IMAGE_H

#include "graph/user.h"

/* A change. Opens the image in `filename` read-only, alone or with all it stands on (`chain`). `format`: NULL: by content. The node; its
 * child `file` is the storage. NULL on error. */
BgNode *bg_image_open(BgGraph *graph, const char *filename, const char *format, bool chain, GError **error);

/* A change. The same, alone, such that it can be changed. */
BgNode *bg_image_open_alone(BgGraph *graph, const char *filename, const char *format, GError **error);

/* The format driver that `format` names or, where that is NULL, the content of the node's storage tells (raw if none). NULL on error. */
const BgDriver *bg_image_driver(BgUser *storage, const char *format, GError **error);

#endif
