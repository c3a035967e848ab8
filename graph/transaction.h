/* Several changes of the graph at one instant, all or none (QEMU's transaction). */
#ifndef BG_TRANSACTION_H
#define BG_TRANSACTION_H

#include "graph/append.h"
#include "graph/bitmaps.h"
#include "graph/jobs/backup.h"

typedef struct BgTransaction BgTransaction;

/* `grouped`: its jobs succeed together or fail together; else each for itself. */
BgTransaction *bg_transaction_new(BgGraph *graph, bool grouped);
/* What was added and not run is given up. NULL is fine. */
void bg_transaction_free(BgTransaction *transaction);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgTransaction, bg_transaction_free)

/* ── adding: actions take effect in this order, each seeing those before it. What they name outlives the transaction. They may make nodes writable,
 * and do nothing else yet. False: it cannot be done, with QEMU's wording where QEMU has one ── */

bool bg_transaction_add_bitmap(BgTransaction *transaction, const BgBitmapAction *action, GError **error);
/* Overlays come after all else has taken effect, whatever the order. */
bool bg_transaction_add_append(BgTransaction *transaction, const BgAppend *append, GError **error);
/* A snapshot inside the node's image. EEXIST, when it is run: there is one of that name. */
bool bg_transaction_add_snapshot(BgTransaction *transaction, BgNode *node, const char *name, GError **error);
/* The disk as it is at the instant. The job is there from now on, and runs when the transaction has; else it goes as one that is cancelled. */
bool bg_transaction_add_backup(BgTransaction *transaction, const BgJobBackup *options, GError **error);
/* Fails when its turn comes. */
void bg_transaction_add_abort(BgTransaction *transaction);

/* A change, once. No request of anybody who can reach the nodes is under way at the instant. False: nothing is changed; EBUSY
 * naming who is in the way, or the error of the first action that failed. */
bool bg_transaction_run(BgTransaction *transaction, GError **error);

#endif
