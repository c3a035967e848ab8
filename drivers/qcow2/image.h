/* One open qcow2 image: what the files of this driver share.
 *
 * Locks, in the order in which they are taken:
 *   write_back_lock  one hand-out of metadata at a time; also held while the L1 table or the header's size moves
 *   lock             the metadata in memory: L1, caches, refcount table, allocator. Shared to look, exclusive to change
 *   table_io         shared while an L2 table is read without `lock`, exclusive while L2 tables are written over: so neither sees half
 *                    of the other's work
 *   header_lock      `header` and the header on disk
 *   damage_lock      `damage`
 *   hold_lock        `held`
 * The core is called back under none of them, but for epoch() and epoch_passed() under write_back_lock. The file is read and
 * written under `lock` where refcount blocks are loaded and new metadata clusters are cleared. */
#ifndef BG_QCOW2_IMAGE_H
#define BG_QCOW2_IMAGE_H

#include "drivers/driver.h"
#include "drivers/qcow2/bitmaps.h"
#include "drivers/qcow2/cache.h"
#include "drivers/qcow2/header.h"
#include "drivers/qcow2/snapshots.h"

#include <pthread.h>

/* Values of the option lazy-refcounts. */
enum { QCOW2_LAZY_HEADER, QCOW2_LAZY_ON, QCOW2_LAZY_OFF };

/* What data is kept from being written over: a bit each, in the order of the options overlap-check.…. */
enum {
  QCOW2_OVERLAP_MAIN_HEADER = 1 << 0, /* the encryption header, too */
  QCOW2_OVERLAP_ACTIVE_L1 = 1 << 1,
  QCOW2_OVERLAP_ACTIVE_L2 = 1 << 2,
  QCOW2_OVERLAP_REFCOUNT_TABLE = 1 << 3,
  QCOW2_OVERLAP_REFCOUNT_BLOCK = 1 << 4,
  QCOW2_OVERLAP_SNAPSHOT_TABLE = 1 << 5,
  QCOW2_OVERLAP_INACTIVE_L1 = 1 << 6,
  QCOW2_OVERLAP_INACTIVE_L2 = 1 << 7,
  QCOW2_OVERLAP_BITMAP_DIRECTORY = 1 << 8 /* the bitmaps' tables, too */
};
enum { QCOW2_OVERLAP_CLASSES = 9 };

/* Values of the options overlap-check and overlap-check.template. */
enum { QCOW2_OVERLAP_DEFAULT, QCOW2_OVERLAP_NONE, QCOW2_OVERLAP_CONSTANT, QCOW2_OVERLAP_CACHED, QCOW2_OVERLAP_ALL };

/* Values of the options overlap-check.…. */
enum { QCOW2_OVERLAP_AS_TEMPLATE, QCOW2_OVERLAP_ON, QCOW2_OVERLAP_OFF };

typedef struct Qcow2Options {
  int lazy_refcounts;
  bool discard_no_unref, pass_discard_request, pass_discard_snapshot, pass_discard_other;
  int overlap_check, overlap_template;
  int overlap[QCOW2_OVERLAP_CLASSES];
  uint64_t l2_cache_size;
  uint64_t refcount_cache_size;
  int encrypt_format; /* QCOW2_CRYPT_NONE: whatever the image says */
  char *key_secret;   /* the name of a secret; NULL: the core may know which */
} Qcow2Options;

/* What maps a disk, or a snapshot of it: an L1 table. The L2 tables that it names are in the cache, or in the file. */
typedef struct Qcow2Tables {
  uint64_t *l1; /* host byte order */
  uint64_t entries;
} Qcow2Tables;

/* Clusters that a committed change has stopped to name. */
typedef struct Qcow2Freed {
  uint64_t cluster; /* index in the file */
  bool unmap;       /* give the space back to the host, too */
} Qcow2Freed;

/* Clusters whose refcount is zero again but that requests may still read. */
typedef struct Qcow2Quarantined {
  uint64_t cluster;
  uint64_t epoch; /* of the core; see BgHost */
  bool unmap;
} Qcow2Quarantined;

/* Clusters [first, end) that hold metadata. */
typedef struct Qcow2Range {
  uint64_t first, end;
  unsigned classes; /* QCOW2_OVERLAP_… */
} Qcow2Range;

typedef struct Qcow2 {
  BgHost *host;
  BgChild *file;
  BgChild *data; /* where plain data clusters are: `file`, or the external data file */

  /* Fixed from open on. */
  unsigned version;
  unsigned cluster_bits;
  uint64_t cluster_size;
  unsigned l2_bits;  /* log2 of the entries of an L2 table */
  unsigned sub_bits; /* log2 of the size of a subcluster; without extended L2 entries a cluster is its only one */
  uint64_t sub_size;
  unsigned subclusters; /* of a cluster: 1 or 32 */
  bool extended;        /* L2 entries have 16 bytes */
  bool external; /* data lies in a data file, each cluster where it is on the disk; nothing counts its references */
  bool raw;      /* the data file alone reads as the disk does */
  uint64_t l2_entries;
  unsigned refcount_order;
  uint64_t block_clusters; /* clusters that one refcount block counts */
  unsigned compression;
  unsigned crypt_method;
  uint64_t crypto_offset, crypto_size; /* where the encryption header is */
  struct Qcow2Crypto *crypto;          /* NULL: the image is not encrypted; see crypto.c */

  _Atomic uint64_t size;
  atomic_bool damaged; /* a contradiction was found: no more changes */

  pthread_mutex_t write_back_lock;
  pthread_rwlock_t lock;
  pthread_rwlock_t table_io;

  /* Under `lock`. */
  const Qcow2Options *options;
  unsigned overlap; /* QCOW2_OVERLAP_… that the options choose */
  bool writable;
  Qcow2Tables active; /* the disk's */
  uint64_t l1_offset;
  Qcow2Cache l2;
  Qcow2Snapshots snapshots;
  uint64_t snapshots_offset;
  uint64_t snapshots_version; /* raised whenever the two before may have changed */
  Qcow2Bitmaps
      bitmaps; /* what only control calls and resize change, one at a time, they may look at without the lock */

  /* Under `lock`, and filled while the image is writable only. */
  uint64_t *reftable; /* host byte order */
  uint64_t reftable_entries;
  uint64_t reftable_offset;
  Qcow2Cache blocks;          /* refcount blocks */
  GHashTable *tables;         /* clusters that are refcount blocks or active L2 tables → QCOW2_OVERLAP_… */
  GHashTable *inactive;       /* set of the clusters that are L2 tables of snapshots; NULL: nobody asked */
  GArray *ranges;             /* Qcow2Range, sorted, disjoint: the other metadata */
  uint64_t free_hint;         /* no cluster below it is free */
  uint64_t packed_end;        /* byte behind the last compressed data, where more may follow; 0: nowhere */
  uint64_t high_water;        /* bytes: nothing in the file ever lay at or beyond it */
  GArray *freed;              /* Qcow2Freed, in memory only so far */
  GArray *freed_durable;      /* Qcow2Freed, refcounts not lowered yet */
  GArray *quarantine;         /* Qcow2Quarantined */
  GHashTable *quarantined;    /* set of their clusters */
  GHashTable *l1_dirty;       /* set of the indices of the 512-byte pieces of the L1 table to be written */
  GHashTable *reftable_dirty; /* the same of the refcount table */
  bool reftable_fresh;        /* the whole of it lies at a new place that the header does not name yet */
  bool header_pending;        /* the header on disk names another refcount table */
  bool data_committed;        /* since the last hand-out: data must be durable before L2 entries */
  bool grows;                 /* a write past the file's end makes it longer */

  pthread_mutex_t header_lock;
  bool
      header_owed; /* the last change of the header may be missing on disk, whatever the file reads as. Only control calls look */
  Qcow2Header header; /* as on disk */

  pthread_mutex_t hold_lock;
  pthread_cond_t hold_end;
  GHashTable *held; /* set of the indices of clusters, see hold.c */

  pthread_mutex_t damage_lock;
  char *damage;        /* found, and not yet reported */
  char *damage_reason; /* the first one, for refusals */

  struct Qcow2Inflated *inflated; /* see compress.c */
} Qcow2;

/* An L2 entry, whatever its width on disk. */
typedef struct Qcow2Entry {
  uint64_t word;   /* where the cluster is; without the zero flag of entries of 8 bytes */
  uint64_t bitmap; /* of subclusters: allocated (low half), reads as zeros (high half) */
} Qcow2Entry;

/* What an L2 entry says of a subcluster. */
typedef enum {
  QCOW2_UNALLOCATED,
  QCOW2_ZERO_PLAIN,
  QCOW2_ZERO_ALLOCATED,
  QCOW2_NORMAL,
  QCOW2_DEFLATED /* compressed */
} Qcow2Kind;

/* ── damage.c ── */

/* Takes note that the image contradicts itself (`lock` held or not). Always -EIO; the caller lets go of its locks and then
 * calls qcow2_damage_report(). */
int qcow2_damage(Qcow2 *q, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* No locks held but write_back_lock: marks the header if the image is writable, tells the core. Cheap if there is nothing. Returns `result`. */
int qcow2_damage_report(Qcow2 *q, int result);
/* Changes the header on disk: the new one is *header with `apply` done. 0 or -errno; then nothing changed in memory. */
int qcow2_header_change(Qcow2 *q, void (*apply)(Qcow2Header *header, const void *data), const void *data);

/* ── l2.c ── (`lock` held unless it says otherwise) */

Qcow2Kind qcow2_entry_kind(const Qcow2 *q, Qcow2Entry entry, unsigned subcluster);
/* Whether it names a plain cluster, whatever of it is in use. */
bool qcow2_entry_has_space(const Qcow2 *q, Qcow2Entry entry);
/* Host offset that the first word of an L1 or a plain L2 entry names. */
static inline uint64_t qcow2_entry_offset(uint64_t entry)
{
  return entry & QCOW2_OFFSET_MASK;
}
/* Whether the entry of the cluster at `guest` of the disk can be true at all; -EIO and damage otherwise. */
int qcow2_entry_check(Qcow2 *q, Qcow2Entry entry, uint64_t guest);
/* A bit for each subcluster that [from, to), which is of one cluster, touches. */
uint32_t qcow2_subclusters(const Qcow2 *q, uint64_t from, uint64_t to);
/* log2 of what the offset in a compressed entry can reach. */
static inline unsigned qcow2_compressed_offset_bits(const Qcow2 *q)
{
  return 62 - (q->cluster_bits - 8);
}
/* Host bytes of a compressed cluster. */
void qcow2_entry_compressed(const Qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *length);

Qcow2Entry qcow2_l2_entry(const Qcow2 *q, const Qcow2Table *table, uint64_t index);
static inline uint64_t qcow2_l1_index(const Qcow2 *q, uint64_t offset)
{
  return offset >> (q->cluster_bits + q->l2_bits);
}
static inline uint64_t qcow2_l2_index(const Qcow2 *q, uint64_t offset)
{
  return (offset >> q->cluster_bits) & (q->l2_entries - 1);
}

/* The L2 table of the byte `offset`, if it is cached; *table = NULL and *missing = 0: there is none; *missing set: it must be loaded. -EIO:
 * the L1 entry is false. */
int qcow2_l2_find(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, Qcow2Table **table, uint64_t *missing);
/* The same with `lock` held exclusive; reads the table if it must. */
int qcow2_l2_get(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, Qcow2Table **table);
/* No lock held. Loads the table at `table_offset` into the cache; somebody may evict it again at once. */
int qcow2_l2_load(Qcow2 *q, uint64_t table_offset);
/* No lock held. Loads the disk's table of `offset` if there is one, so that qcow2_l2_get() needs no I/O. */
int qcow2_l2_prefetch(Qcow2 *q, uint64_t offset);
/* No lock held. The entry of the byte `offset`, checked. */
int qcow2_l2_look_up(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, Qcow2Entry *entry);
/* Reads a metadata cluster; `what` for messages. *data is the caller's. */
int qcow2_read_cluster(Qcow2 *q, const char *what, uint64_t offset, uint8_t **data);

/* ── map.c, compress.c, deflate.c ── */

int qcow2_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent);
int qcow2_preadv_special(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset);
int qcow2_pwritev_special(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset);
/* The same by any tables, which stay as they are meanwhile (`active` may change). */
int qcow2_map_by(Qcow2 *q, const Qcow2Tables *tables, uint64_t offset, uint64_t length, BgExtent *extent);
int qcow2_preadv_special_by(Qcow2 *q, const Qcow2Tables *tables, const struct iovec *iov, int iovcnt, uint64_t offset);
void qcow2_inflated_free(struct Qcow2Inflated *inflated);
/* Before an entry of that word names new data: `data` (a g_malloc()ed cluster, taken) is what it inflates to from now on. */
void qcow2_inflated_replace(struct Qcow2Inflated *inflated, uint64_t entry, uint8_t *data);
/* What the file holds may have changed under the same entries. */
void qcow2_inflated_forget(struct Qcow2Inflated *inflated);
struct Qcow2Inflated *qcow2_inflated_new(void);

/* ── crypto.c ── (no lock held) */

/* The header is read. Takes the key from the core; without one q->crypto stands, and data calls are -EACCES. */
bool qcow2_crypto_open(Qcow2 *q, GError **error);
void qcow2_crypto_free(struct Qcow2Crypto *crypto);
/* Whether the image, whose header is `header` now, still has the key that it was opened with. */
bool qcow2_crypto_check_same(Qcow2 *q, const Qcow2Header *header, GError **error);
/* BgDriver.decode and encode; of images that are encrypted. */
int qcow2_decode(void *instance, void *buffer, size_t length, uint64_t disk_offset, uint64_t file_offset);
int qcow2_encode(void *instance, void *buffer, size_t length, uint64_t disk_offset, uint64_t file_offset);
/* Plain data of one extent, of any alignment, encrypted or not. Nobody else writes the sectors that it touches. */
int qcow2_read_data(Qcow2 *q, void *out, size_t length, uint64_t disk_offset, uint64_t file_offset);
int qcow2_write_data(Qcow2 *q, const void *data, size_t length, uint64_t disk_offset, uint64_t file_offset);
/* Whether zeros in the data file are zeros of the disk, which then is how the disk gets them. */
static inline bool qcow2_zeros_below(const Qcow2 *q)
{
  return q->external && !q->crypto;
}
/* Facts with qemu-img's names; floating. */
GVariant *qcow2_crypto_describe(const struct Qcow2Crypto *crypto);

/* ── hold.c ── (no lock held) */

/* The clusters at these offsets of the disk (may be the same), of which only a part is to be changed: their other subclusters may have
 * other holders at the core, who wait here. Nothing to do without extended L2 entries. */
void qcow2_hold(Qcow2 *q, uint64_t first, uint64_t second);
void qcow2_let_go(Qcow2 *q, uint64_t first, uint64_t second);

/* ── write.c, zero.c, resize.c ── */

int qcow2_reserve(void *instance, uint64_t offset, uint64_t length, BgReservation *reservation);
int qcow2_commit(void *instance, const BgReservation *reservation);
void qcow2_abort(void *instance, const BgReservation *reservation);
/* `lock` held exclusive. The L2 table of the disk's byte `offset`, made or copied so that it may be changed. */
int qcow2_l2_own(Qcow2 *q, uint64_t offset, Qcow2Table **table);
/* `lock` held exclusive. What the entry names is named no longer. */
void qcow2_entry_free(Qcow2 *q, Qcow2Entry entry, bool unmap);
/* Writes an entry into a table's bytes, which the caller has for himself. */
void qcow2_l2_put(const Qcow2 *q, Qcow2Table *table, uint64_t index, Qcow2Entry entry);
/* `lock` held exclusive. */
void qcow2_l2_set(Qcow2 *q, Qcow2Table *table, uint64_t index, Qcow2Entry entry);
void qcow2_l1_set(Qcow2 *q, uint64_t index, uint64_t entry);
int qcow2_zero(void *instance, uint64_t offset, uint64_t length, BgZeroFlags flags);
int qcow2_discard(void *instance, uint64_t offset, uint64_t length);
/* Whole subclusters; without asking whether a backing child is there. Where there is none and `backing` is false, holes stay. */
int qcow2_zero_range(Qcow2 *q, uint64_t offset, uint64_t length, BgZeroFlags flags, bool backing);
int qcow2_resize(void *instance, uint64_t size);

/* ── writeback.c, release.c ── */

int qcow2_write_back(void *instance);
/* write_back_lock held: hands out what is dirty. */
int qcow2_hand_out(Qcow2 *q);
/* write_back_lock held: lowers the refcounts of what is freed durably, and gives back what no request can read any more. */
int qcow2_release(Qcow2 *q);
/* No lock held: writes back if much is dirty. */
int qcow2_relieve(Qcow2 *q);
/* Nothing is left to be handed out or freed (the quarantine aside). */
bool qcow2_is_clean(Qcow2 *q);

/* ── change.c ── */

/* Refuses options that need version 3. */
bool qcow2_check_version(const Qcow2Options *options, unsigned version, GError **error);
bool qcow2_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error);
bool qcow2_change_settle(void *instance, void *pending, GError **error);
void qcow2_change_commit(void *instance, void *pending);
void qcow2_change_abort(void *instance, void *pending);
bool qcow2_can_change(void *instance, const BgMode *mode, GError **error);

/* ── backing.c ── */

bool qcow2_change_backing(void *instance, const char *file, const char *format, GError **error);
void qcow2_backing(void *instance, char **file, char **format);

/* ── reload.c ── */

/* Whether the image that has this header now is of the shape that it was opened with. */
bool qcow2_is_same_shape(const Qcow2 *q, const Qcow2Header *header);
/* Reads again what others may have changed since the image was opened: everything but its shape. It is not writable. */
bool qcow2_reload(Qcow2 *q, GError **error);

/* ── load.c ── */

/* Reads an L1 table into *l1 (host byte order; NULL if it has no entries). */
bool qcow2_l1_read(BgChild *file, uint64_t offset, uint64_t entries, uint64_t **l1, GError **error);
/* *same: the table that the header names is what the image, which is not writable, has in memory. */
bool qcow2_l1_compare(Qcow2 *q, const Qcow2Header *header, bool *same, GError **error);
/* Everything a writer needs and a reader does not: refcount table, overlap sets, allocator. `lock` not held; no one writes. */
bool qcow2_writer_load(Qcow2 *q, const Qcow2Header *header, GError **error);
void qcow2_writer_drop(Qcow2 *q);

/* ── bitmaps.c, bitmaps-change.c, bitmaps-header.c, bitmaps-list.c, bitmaps-load.c, bitmaps-store.c ── */

GPtrArray *qcow2_kept_bitmaps(void *instance);
bool qcow2_bitmap_keep(void *instance, BgBitmap *bits, GError **error);
bool qcow2_bitmap_touch(void *instance, const char *name, GError **error);
void qcow2_bitmap_forget(void *instance, const char *name);

/* Marks on disk, durably, each bitmap that is going to differ from it as in use: those that record, or `all`. 0 or -errno; after an error it
 * is owed: nobody may write before it was done. */
int qcow2_bitmaps_mark(Qcow2 *q, bool all);
/* What was marked since they were read is as it was. Durable; 0 or -errno. */
int qcow2_bitmaps_unmark(Qcow2 *q);
/* Hands the bitmaps to the core, with their bits where those can be read. */
void qcow2_bitmaps_load(Qcow2 *q);
/* No writer is left, all else is durable: bits to disk, marks off. A bitmap for which this does not work stays in use, and is told of.
 * -errno: the storage fails; again the next time. */
int qcow2_bitmaps_store(Qcow2 *q);
/* The table of one that was not loaded, if nobody else can have what it names. */
bool qcow2_bitmaps_load_table(Qcow2 *q, Qcow2Bitmap *bitmap);
/* The header names the directory as it is in memory and on disk; durable. 0 or -errno. */
int qcow2_bitmaps_name(Qcow2 *q);
bool qcow2_bitmaps_are_named(const Qcow2 *q);
/* Whether the header has room to name a directory: 0, -ENOSPC or -errno. */
int qcow2_bitmaps_check_room(Qcow2 *q);
/* `lock` held: one reference, no metadata. */
bool qcow2_bitmaps_may_own(Qcow2 *q, uint64_t cluster);

/* ── create.c ── */

typedef struct Qcow2CreateOptions {
  uint64_t cluster_size;
  uint64_t refcount_bits;
  int compat;
  bool lazy_refcounts;
  bool extended_l2;
  int compression_type;
  int preallocation;
  int encrypt_format; /* 0: none, else LUKS */
  char *key_secret, *cipher_alg, *cipher_mode, *ivgen_alg, *ivgen_hash_alg, *hash_alg;
  uint64_t iter_time; /* ms */
  char *data_file;    /* NULL: none */
  bool data_file_raw;
} Qcow2CreateOptions;

extern const BgOption qcow2_create_options[];
bool qcow2_create(const BgCreate *create, GError **error);
const char *qcow2_create_data_file(const void *options);

/* ── create-crypto.c ── */

/* Whether the options on encryption can be served. */
bool qcow2_create_crypto_check(const BgCreate *create, GError **error);
/* The encryption header that the options ask for; *area is the caller's (g_free()), of *size bytes. */
bool qcow2_create_crypto(const BgCreate *create, uint8_t **area, uint64_t *size, GError **error);

/* ── qcow2.c ── */

void qcow2_limits(void *instance, BgLimits *limits);

/* ── snapshot.c, view.c ── */

GPtrArray *qcow2_snapshots(void *instance, size_t most, size_t *count);
bool qcow2_snapshot_create(void *instance, const char *name, GError **error);
bool qcow2_snapshot_apply(void *instance, const char *id, GError **error);
bool qcow2_snapshot_delete(void *instance, const char *id, GError **error);
void *qcow2_view_open(void *instance, const char *id);
extern const BgDriver qcow2_view;

/* ── info.c ── */

void qcow2_info(void *instance, BgInfo *info);

#endif
