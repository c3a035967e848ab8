/* A part of a backing chain that a job works on: from `top` down to `base`. While it stands, its links are frozen, and the nodes strictly between
 * the two are read through top only: what somebody else would read there changes, or is about to go. Snapshots in top's own image are not to be had: what they stand on changes without
 * what top has over it. (SEMANTICS, "Read-only, resolved") */
#ifndef BG_JOB_CHAIN_H
#define BG_JOB_CHAIN_H

#include "graph/freeze.h"

typedef struct BgChain {
  BgFreeze freeze;
  BgNode *overlay;    /* whose backing child top is; NULL: it was not asked for */
  BgNode *top, *base; /* base NULL: all that is below top */
  BgEdge *link;       /* the one that is exchanged at last: overlay's, or where there is none, top's */
  unsigned depth;     /* of base below top, in backing disks; UINT_MAX without a base */
  GPtrArray *between; /* BgNode *, from top to base, without both; without a base the last one, too */
  GPtrArray *guards;  /* BgUser *: on those between */
} BgChain;

/* Nothing is frozen yet; `what` (copied) says for whom. */
void bg_chain_init(BgChain *chain, BgGraph *graph, const char *what);

/* Freezes the links from `source` to the storage that shows the same bytes, down to where a format keeps them in a form of its own, and lets nobody
 * else write there: who watches the source would not know. EBUSY naming who does. After an error bg_chain_clear() undoes what was done. */
bool bg_chain_guard_storage(BgChain *chain, BgNode *source, GError **error);

/* bg_chain_init(), and freezes the links and guards the nodes between. `what` (copied) says for whom. `overlay` NULL: none; `base` NULL: down to the end.
 * EINVAL: base is not below top; EBUSY: somebody has a node between or a snapshot of top open (the message names both), or another job works there. On failure
 * nothing is left. */
bool bg_chain_freeze(BgChain *chain, BgNode *overlay, BgNode *top, BgNode *base, const char *what, GError **error);

/* ENOTSUP: the image whose link is to change cannot record another backing file. */
bool bg_chain_check_link(const BgChain *chain, GError **error);

/* The one change in which the link goes to base (NULL: to nothing) and the image says so: `file` in `format`, both NULL: nothing. The
 * image is writable. `users` (BgUser *) give up their permissions in it, as the guards do; the links are thawed. On failure
 * nothing changed. */
bool bg_chain_relink(BgChain *chain, const char *file, const char *format, const GPtrArray *users, GError **error);

/* How the image of the link shall name base: relative to its directory where base lies in or below that, else as base was opened. *file is the
 * caller's; NULL without a base. */
bool bg_chain_base_name(const BgChain *chain, char **file, const char **format, GError **error);

/* After relinking: takes the nodes out of the graph that were opened for their parents alone and that nobody needs any more. */
void bg_chain_drop_unused(BgChain *chain);

/* Gives up the guards and thaws. The freeze's other users must have left. Zeroed is fine. */
void bg_chain_clear(BgChain *chain);

#endif
