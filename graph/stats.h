/* What was asked of each node by those who stand on it, jobs excepted: they have a progress of their own. */
#ifndef BG_STATS_H
#define BG_STATS_H

#include "graph/graph.h"

typedef enum {
  BG_STATS_READ,
  BG_STATS_WRITE, /* zeros, too */
  BG_STATS_FLUSH,
  BG_STATS_UNMAP, /* discards, and zeros that may become holes */
  BG_STATS_KINDS
} BgStatsKind;

/* Of the requests of one kind. */
typedef struct BgRequestStats {
  uint64_t operations, bytes; /* done */
  uint64_t failed;            /* with an error of the storage */
  uint64_t invalid;           /* that were refused before anything was asked of it */
  uint64_t nanoseconds;       /* all that were done or failed, together */
} BgRequestStats;

typedef struct BgNodeStats {
  BgRequestStats requests[BG_STATS_KINDS];
  uint64_t written_up_to; /* end of the highest bytes that were written, also by nodes above and jobs; 0: none */
} BgNodeStats;

/* Since the node was opened. What is counted meanwhile may be seen in part. Any thread; no lock. */
void bg_node_stats(BgNode *node, BgNodeStats *stats);

/* ── inside graph/ ── */

/* Counters that threads of different `lane` (any number) add to without disturbing each other; NULL: nobody asked anything yet. */
typedef struct BgStats BgStats;
void bg_stats_free(BgStats *stats);

/* Inside a gate. `result`: bytes, or -errno. */
void bg_stats_add(BgNode *node, unsigned lane, BgStatsKind kind, ssize_t result, int64_t nanoseconds);
void bg_stats_add_invalid(BgNode *node, unsigned lane, BgStatsKind kind);

#endif
