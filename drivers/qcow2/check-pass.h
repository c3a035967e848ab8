/* Checking an image: every reference in it is counted anew and compared with the refcounts on disk; and mending what differs.
 *
 * A check looks at the file alone, never at what an instance has in memory. Functions return 0 or a -errno that ends the check (no
 * memory, cancelled, a write that failed); what is wrong with the image is a finding, not an error. */
#ifndef BG_QCOW2_CHECK_PASS_H
#define BG_QCOW2_CHECK_PASS_H

#include "drivers/qcow2/image.h"

/* How often each cluster is named, in the form of refcount blocks: what is counted can be compared with, and written as, what lies
 * on disk. */
typedef struct Qcow2Counts {
  unsigned order, block_bits; /* log2 of the width, and of the clusters in a block */
  size_t block_size;          /* bytes */
  uint8_t **blocks;           /* NULL: all zero */
  uint64_t block_count;
  uint64_t bytes;    /* in use */
  uint64_t clusters; /* behind the last that was ever counted */
} Qcow2Counts;

typedef enum {
  QCOW2_LEAK,
  QCOW2_REFCOUNT_LOW, /* corruptions, from here on */
  QCOW2_FALSE_FLAG,
  QCOW2_STRUCTURE,
  QCOW2_UNREADABLE, /* a check error */
  QCOW2_FINDINGS
} Qcow2Finding;

/* A refcount block as it lies on disk. */
typedef struct Qcow2Slot {
  uint64_t number; /* UINT64_MAX: the slot is empty */
  uint8_t *data;
  int error; /* why it could not be read: -errno, or 0 */
} Qcow2Slot;

typedef struct Qcow2Check {
  const Qcow2 *q; /* for the image's shape */
  BgChild *file;
  BgFix fix;
  BgCheckWatcher *watcher;
  bool again;    /* the second pass, after mending */
  unsigned told; /* findings */

  Qcow2Header header;
  Qcow2Snapshots snapshots;
  uint64_t *reftable; /* host byte order */
  uint64_t reftable_entries;
  uint64_t file_size, file_clusters;

  Qcow2Counts counts;
  GHashTable *tables; /* L2 tables: cluster to how often L1 tables name it, those of the active one in the upper half */
  GHashTable *replaced;  /* set of the refcount blocks (numbers) that cannot stay where they are */
  GHashTable *uncounted; /* those of them that are not counted as references */
  GArray *metadata;      /* Qcow2Range, in no order: what must not overlap */
  bool incomplete;       /* some metadata could not be followed: there may be references that are not counted */
  uint64_t work, worked;

  Qcow2Slot *slots;
  size_t slot_count;

  uint64_t found[QCOW2_FINDINGS];
  char *damage; /* the first QCOW2_STRUCTURE in words; NULL: none */
  BgCheckResult result;
} Qcow2Check;

/* ── check-findings.c ── */

/* Notes and tells a finding that counts `times` times. */
void qcow2_check_found(Qcow2Check *check, Qcow2Finding finding, uint64_t times, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
/* Tells what was done, or not. */
void qcow2_check_tell(Qcow2Check *check, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* After each cluster or so of work. -ECANCELED. */
int qcow2_check_progress(Qcow2Check *check, uint64_t more);

/* ── check-count.c ── */

void qcow2_counts_init(Qcow2Counts *counts, unsigned cluster_bits, unsigned order);
void qcow2_counts_clear(Qcow2Counts *counts);
uint64_t qcow2_counts_get(const Qcow2Counts *counts, uint64_t cluster);
/* Counts the cluster `times` times; *excess are those beyond what its width can hold. -ERANGE: no refcount table reaches so far.
 * -E2BIG, -ENOMEM: too much to be counted. */
int qcow2_counts_add(Qcow2Counts *counts, uint64_t cluster, uint64_t times, uint64_t *excess);
/* One less, if there is one. */
void qcow2_counts_drop(Qcow2Counts *counts, uint64_t cluster);
/* Whether the block of that number counts anything. */
bool qcow2_counts_any(const Qcow2Counts *counts, uint64_t number);

/* Counts what lies at [offset, offset+length). *inside (may be NULL): it lies in the file. */
int qcow2_check_refer(Qcow2Check *check, const char *what, uint64_t offset, uint64_t length, uint64_t times,
                      bool *inside);
/* The same for metadata that must not overlap other metadata. */
int qcow2_check_refer_metadata(Qcow2Check *check, const char *what, uint64_t offset, uint64_t length, bool *inside);

/* ── check-disk.c ── */

/* The refcount block of that number as it lies on disk, valid until the next call; *block = NULL: there is none, all
 * is zero. An error is one of this block only. */
int qcow2_disk_block(Qcow2Check *check, uint64_t number, const uint8_t **block);
/* False: not known. */
bool qcow2_disk_refcount(Qcow2Check *check, uint64_t cluster, uint64_t *refcount);
/* After blocks or the refcount table were written. */
void qcow2_disk_forget(Qcow2Check *check);

/* ── check-walk.c, check-l2.c, check-bitmaps.c ── */

/* Counts every reference in the image and checks entries. */
int qcow2_check_walk(Qcow2Check *check);
/* The L2 tables in check->tables. */
int qcow2_check_walk_tables(Qcow2Check *check);
int qcow2_check_walk_bitmaps(Qcow2Check *check);
/* The keys of check->tables in the order of the file (uint64_t). */
GArray *qcow2_check_sorted_tables(Qcow2Check *check);
static inline uint64_t qcow2_check_table_references(const Qcow2Check *check, uint64_t cluster, uint64_t *active)
{
  uint64_t packed = (uintptr_t)g_hash_table_lookup(check->tables, GSIZE_TO_POINTER(cluster));
  *active = packed >> 32;
  return packed & UINT32_MAX;
}

/* ── check-compare.c ── */

/* Compares the counts with the refcounts on disk, and metadata with each other. */
int qcow2_check_compare(Qcow2Check *check);
/* Clusters that are compared. */
static inline uint64_t qcow2_check_clusters(const Qcow2Check *check)
{
  return MAX(check->file_clusters, check->counts.clusters);
}

/* ── check-raise.c, check-flags.c: each leaves the image no worse wherever it ends ── */

/* No refcount is lower than what is counted; missing and false refcount blocks, and the table where need be, are made anew. Durable. */
int qcow2_check_raise(Qcow2Check *check);
/* COPIED where, and only where, the count is one. Durable. */
int qcow2_check_flags(Qcow2Check *check);
/* No refcount is higher than what is counted. Durable. */
int qcow2_check_lower(Qcow2Check *check);

#endif
