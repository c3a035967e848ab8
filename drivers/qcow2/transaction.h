/* A change of many tables at once: refcounts, an L1 table, L2 tables, the snapshot table. All of it is written where nothing lies yet,
 * the refcounts, too; then one write of the header, which fits into a sector, makes it true. So the file holds together at every instant, by
 * the old header or by the new one, without a leak even; and what fails before that write has changed nothing.
 *
 * write_back_lock is held from begin to the end, the image is clean (qcow2_is_clean()), and no data call is under way. */
#ifndef BG_QCOW2_TRANSACTION_H
#define BG_QCOW2_TRANSACTION_H

#include "drivers/qcow2/alloc.h"

typedef struct Qcow2Transaction {
  Qcow2 *q;
  GHashTable *blocks; /* number → Qcow2NewBlock *, owned */
  GPtrArray *order;   /* the same, as they came */
  GArray *taken;      /* uint64_t: clusters with new content */
  uint64_t *reftable; /* host byte order */
  uint64_t reftable_entries;
  uint64_t reftable_offset; /* after qcow2_transaction_commit() only */
  uint64_t hint;            /* no cluster below it can be taken */
} Qcow2Transaction;

/* What the new header says. */
typedef struct Qcow2State {
  uint64_t size;
  uint64_t l1_offset;
  uint32_t l1_entries;
  uint64_t snapshots_offset;
  uint32_t snapshot_count;
} Qcow2State;

void qcow2_transaction_begin(Qcow2Transaction *transaction, Qcow2 *q);
/* Also after a commit. */
void qcow2_transaction_clear(Qcow2Transaction *transaction);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Qcow2Transaction, qcow2_transaction_clear)

/* ── 0 or -errno; no other lock held ── */

/* The refcount as it will be. */
int qcow2_transaction_get(Qcow2Transaction *transaction, uint64_t cluster, uint64_t *refcount);
/* -EOVERFLOW where one more cannot be counted. */
int qcow2_transaction_raise(Qcow2Transaction *transaction, uint64_t cluster);
int qcow2_transaction_lower(Qcow2Transaction *transaction, uint64_t cluster);
/* `count` clusters in a row that nothing uses, neither now nor before; refcount one. */
int qcow2_transaction_take(Qcow2Transaction *transaction, uint64_t count, uint64_t *first);
/* The same, and fills them with `length` bytes of data and zeros. *offset in the file. */
int qcow2_transaction_put(Qcow2Transaction *transaction, const void *data, uint64_t length, uint64_t *offset);

/* Writes the refcounts and then the header: when this returns 0 all is durable, refcount table and space are the new ones in memory, too, and the
 * caller takes over the rest, then may call qcow2_transaction_give_back(). After an error the old state is true, on disk as in memory; where
 * even that could not be written, the next hand-out does it first. */
int qcow2_transaction_commit(Qcow2Transaction *transaction, const Qcow2State *state);
/* Tells the host of the space that is free now. */
void qcow2_transaction_give_back(Qcow2Transaction *transaction);

#endif
