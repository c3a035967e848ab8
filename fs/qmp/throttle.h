/* Events of which each node sends at most one a second: the first at once; of those that follow only the last, when the second is over. Not
 * locked. */
#ifndef BGFS_QMP_THROTTLE_H
#define BGFS_QMP_THROTTLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BgfsQmpThrottle BgfsQmpThrottle;

/* `free`: for items that are held. */
BgfsQmpThrottle *bgfs_qmp_throttle_new(GDestroyNotify free);
void bgfs_qmp_throttle_free(BgfsQmpThrottle *throttle);

/* Times are monotonic, µs. True: `item` may be told now. False: it was taken, in the place of the one that was held for this node. */
bool bgfs_qmp_throttle_pass(BgfsQmpThrottle *throttle, const void *node, gpointer item, int64_t now);

/* When the first of those that are held may be told; INT64_MAX: none is held. */
int64_t bgfs_qmp_throttle_due(const BgfsQmpThrottle *throttle);
/* One that may be told now, the caller's; NULL: there is none. */
gpointer bgfs_qmp_throttle_take(BgfsQmpThrottle *throttle, int64_t now);

#endif
