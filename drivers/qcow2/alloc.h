/* Space in the image file: refcounts, allocation, and the check that metadata is not overwritten. `lock` is held exclusive in all
 * calls but qcow2_is_metadata() and qcow2_classes_of(), for which shared does; refcount blocks are loaded under it. */
#ifndef BG_QCOW2_ALLOC_H
#define BG_QCOW2_ALLOC_H

#include "drivers/qcow2/image.h"

/* ── room.c ── */

/* -ENOSPC where the clusters cannot be in the file. */
int qcow2_check_room(Qcow2 *q, uint64_t first, uint64_t count);
/* Writes zeros over whole clusters and takes note how far the file was used. */
int qcow2_clear_clusters(Qcow2 *q, uint64_t first, uint64_t count);
/* Once the metadata in memory is durable and no request reads them. `request`: because somebody asked for it to be discarded or zeroed. */
void qcow2_free_later(Qcow2 *q, uint64_t cluster, bool request);

/* ── refcount.c ── */

/* The refcount of `order` (its width is 1 << order bits) at `index` of a block. */
uint64_t qcow2_refcount_get(const uint8_t *block, unsigned order, uint64_t index);
void qcow2_refcount_set(uint8_t *block, unsigned order, uint64_t index, uint64_t refcount);

/* ── blocks.c ── */

/* The refcount block of that number; *block = NULL where there is none. */
int qcow2_block_get(Qcow2 *q, uint64_t number, Qcow2Table **block);
/* The same, made where there is none; the refcount table grows for it. */
int qcow2_block_ensure(Qcow2 *q, uint64_t number, Qcow2Table **block);
/* Sets the refcounts of clusters that one block counts. */
void qcow2_block_fill(Qcow2 *q, Qcow2Table *block, uint64_t index, uint64_t count, uint64_t refcount);
/* One reference more to a cluster that has some. -EMLINK where its refcount is as wide as it gets. */
int qcow2_refcount_raise(Qcow2 *q, uint64_t cluster);
/* Takes one reference away; *left are left. A refcount that is zero already is damage. */
int qcow2_refcount_lower(Qcow2 *q, uint64_t cluster, uint64_t *left);

/* ── reftable.c ── */

/* `count` (0 is fine) clusters of zeros in a row behind everything that refcounts cover so far, and the refcount blocks and, where it is full, the
 * refcount table that they need. */
int qcow2_area_alloc(Qcow2 *q, uint64_t count, uint64_t *first);
/* Takes note of the refcount block at `cluster`. */
void qcow2_reftable_set(Qcow2 *q, uint64_t number, uint64_t cluster);

/* ── alloc.c ── */

/* Up to `want` clusters in a row, refcount one. *reads_zero: nothing ever lay there. */
int qcow2_alloc_run(Qcow2 *q, uint64_t want, uint64_t *first, uint64_t *count, bool *reads_zero);
/* One cluster for metadata, cleared on disk, so that a full disk shows now. */
int qcow2_alloc_metadata(Qcow2 *q, uint64_t *cluster);
/* Gives back clusters that nothing has named yet. */
void qcow2_free_now(Qcow2 *q, uint64_t first, uint64_t count);

/* ── overlap.c ── */

/* What the options choose to protect. False where both ways to choose a template differ. */
bool qcow2_overlap_classes(const Qcow2Options *options, unsigned *classes, GError **error);
/* Whether the cluster holds metadata that data must not be written over. */
bool qcow2_is_metadata(const Qcow2 *q, uint64_t cluster);
/* What metadata (QCOW2_OVERLAP_…) it holds at all: none new is ever laid over other, whatever the options say. */
unsigned qcow2_classes_of(const Qcow2 *q, uint64_t cluster);
/* Collects where all metadata lies. False where two pieces of it share a cluster. */
bool qcow2_overlap_build(Qcow2 *q, GError **error);
/* The same after all of it has moved, to where it cannot. */
void qcow2_overlap_rebuild(Qcow2 *q);
/* After the L1 or the refcount table moved. */
void qcow2_overlap_ranges(Qcow2 *q);
void qcow2_overlap_add(Qcow2 *q, uint64_t cluster, unsigned class);

/* ── overlap-inactive.c ── (`lock` not held; snapshots stay as they are meanwhile) */

/* The clusters of the L2 tables that these snapshots' L1 tables name; *clusters is the caller's. EFBIG where they are beyond reason. */
bool qcow2_inactive_read(Qcow2 *q, const Qcow2Snapshots *snapshots, GHashTable **clusters, GError **error);
/* Whether they are apart from all other metadata: the disk may share them as long as it does not write to them. */
bool qcow2_inactive_check(Qcow2 *q, GHashTable *clusters, GError **error);

#endif
