/* What users with passthrough (user.h) mean for the rest of the graph. */
#ifndef BG_PASSTHROUGH_H
#define BG_PASSTHROUGH_H

#include "graph/node.h"

/* Inside the user's gate. What the user may have written around the graph counts as written: for flushes, and for those who watch the
 * bytes. Nothing to do for other users. */
void bg_passthrough_note(BgUser *user);

/* Under graph->control. False (EBUSY, naming the user) while I/O goes around `node` to what is below it, which new options or other
 * children would change. */
bool bg_passthrough_check(const BgNode *node, GError **error);

#endif
