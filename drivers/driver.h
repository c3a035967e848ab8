/* The contract between the core and a block driver.
 *
 * A driver is one const BgDriver, named in Makefile.am's list of drivers. It sees what is below it through BgChild
 * (drivers/child.h), what is above it not at all, and the core through BgHost. It never sees JSON, never prints,
 * and keeps nothing in statics.
 *
 * Control calls report by GError (BG_ERROR, code = errno; no prefix: the core adds "node 'NAME': "). The core runs at most
 * one control call of a node at a time, but data calls may run beside every one of them except open and close.
 *
 * Data calls return 0 or -errno and may come from any number of threads at once. The core has checked range
 * (within size(), except where said) and alignment (limits), and serialises by range: see each call. No
 * lock of a driver is held while it calls the core back through BgHost.
 *
 * The core opens every node read-only first; a node that must be writable is then changed to it. So open never
 * writes. NULL is allowed where a field says what it means. */
#ifndef BG_DRIVER_H
#define BG_DRIVER_H

#include "drivers/bitmap.h"
#include "drivers/child.h"
#include "drivers/error.h"
#include "drivers/options.h"
#include "drivers/secret.h"
#include "drivers/snapshot.h"

#include <sys/stat.h>

typedef enum { BG_KIND_PROTOCOL, BG_KIND_FORMAT, BG_KIND_FILTER } BgKind;

/* How a node is, or shall be, open. */
typedef struct BgMode {
  bool writable;
  bool direct;      /* cache.direct: go around the host's page cache */
  bool force_share; /* do not keep others from writing: take no "not shared" image lock */
  BgPerm perm;      /* all that the parties above hold together */
  BgPerm shared;    /* what all of them share */
} BgMode;

typedef enum {
  BG_EVENT_CORRUPT,   /* the image contradicts itself: the node stays readable, takes no writer any more */
  BG_EVENT_SNAPSHOTS, /* another process has changed which there are */
  BG_EVENT_WARNING    /* for the log only */
} BgEvent;

/* The core, as one node's driver sees it. */
typedef struct BgHost BgHost;
struct BgHost {
  const char *node_name;

  /* During open only. Opens and attaches the child `name`: what the user's options name (a node, inline
   * options, or none: *child = NULL and true), else `reference` (a file name out of the image, resolved and
   * allowed or refused by the core's policy; NULL: there is none) in `format` (NULL: by content). A child found in neither
   * is *child = NULL and true for a COW child, an error for every other role. */
  bool (*need_child)(BgHost *host, const char *name, BgRole role, const char *reference, const char *format,
                     BgChild **child, GError **error);

  /* Whether a child `name` is attached now (a reopen can attach or detach it). Any thread. */
  bool (*has_child)(BgHost *host, const char *name);

  /* From any thread, also in data calls; never blocks. `message` names the fact, not the node. */
  void (*event)(BgHost *host, BgEvent event, const char *message);

  /* Space that metadata no longer names may still be read by requests that mapped it earlier. Take
   * epoch() after the metadata changed; once epoch_passed() of that value is true, no such request is left. Any thread. */
  uint64_t (*epoch)(BgHost *host);
  bool (*epoch_passed)(BgHost *host, uint64_t epoch);

  /* The node's dirty bitmaps; never NULL. The core marks what requests change and follows resize(). A driver that keeps bitmaps in the
   * image adds them (persistent) when the node becomes writable, stores and removes them when it ceases to be, and marks what it changes of
   * the disk by itself. */
  BgBitmaps *bitmaps;

  /* During open only. The secret that the user's options name by `id` (NULL: they name none: the core may know which is meant), valid
   * as long as the instance. ENOENT, EACCES: there is none; the message says how to give it. *secret = NULL and true: the node is only
   * looked at, nobody will ask for its data. NULL: the same. */
  bool (*need_secret)(BgHost *host, const char *id, const BgSecret **secret, GError **error);
};

typedef enum {
  BG_EXTENT_DATA,    /* at child:offset */
  BG_EXTENT_ZERO,    /* reads as zeros, by the driver's own word */
  BG_EXTENT_BACKING, /* not allocated here: the COW child's bytes, or zeros past its end or without one */
  BG_EXTENT_SPECIAL  /* allocated, readable only through preadv_special (compressed) */
} BgExtentKind;

typedef enum {
  BG_EXTENT_IN_PLACE = 1 << 0, /* DATA: may be overwritten where it is */
  BG_EXTENT_ENCODED = 1 << 1   /* the child's bytes are not the node's: decode() makes them so */
} BgExtentFlags;

typedef struct BgExtent {
  BgExtentKind kind;
  unsigned flags;
  uint64_t length; /* > 0, at most what was asked */
  BgChild *
      child; /* DATA: where; ZERO: where too if the space stays allocated, else NULL; NULL from a protocol: its own bytes */
  uint64_t offset; /* in child */
} BgExtent;

/* Space for new data, between reserve and commit or abort. */
typedef struct BgReservation {
  uint64_t offset,
      length; /* the node's range: whole granules, covers the first byte asked for, may pass the end of the disk */
  BgChild *child;
  uint64_t child_offset; /* of the byte at `offset` */
  bool reads_zero;       /* the space reads as zeros already: zero fill need not be written; never with ENCODED */
  unsigned flags;        /* BG_EXTENT_ENCODED: encode() what is written */
  uint64_t private[2];   /* the driver's */
} BgReservation;

/* A child that a driver takes: for options, help, and children by need_child(). */
typedef struct BgChildSpec {
  const char *name; /* NULL ends a table */
  const char *help;
  bool required;
} BgChildSpec;

/* What create() makes. */
typedef struct BgCreate BgCreate;
struct BgCreate {
  const void *options;        /* typed by create_options */
  uint64_t size;              /* bytes */
  BgChild *file;              /* formats: the empty storage, open read-write with RESIZE; protocols: NULL */
  const char *backing_file;   /* as it shall stand in the image; NULL: none */
  const char *backing_format; /* NULL iff backing_file is */
  /* As BgHost.need_secret(), but never without a secret. NULL: there are none. */
  bool (*need_secret)(const BgCreate *create, const char *id, const BgSecret **secret, GError **error);
  BgChild *data_file; /* as `file`, of the file that create_data_file() named; NULL: none */
};

/* Facts for query and `info`: name and value, the value floating. */
typedef struct BgInfo BgInfo;
struct BgInfo {
  void (*add)(BgInfo *info, const char *name, GVariant *value);
};

/* What check() mends. Both write what makes nothing worse at any instant. */
typedef enum {
  BG_FIX_NONE,
  BG_FIX_LEAKS, /* space that nothing uses is given back */
  BG_FIX_ALL
} BgFix;

/* Who has an image checked. */
typedef struct BgCheckWatcher BgCheckWatcher;
struct BgCheckWatcher {
  /* One thing that is wrong, or was done about it: a line for people, without the image's name. */
  void (*finding)(BgCheckWatcher *watcher, const char *text);
  /* `done` of `total` (0: not known yet), in no unit; begins anew with each pass over the image. Comes at least once for each
   * 4 MiB that are read. False: give up (ECANCELED). */
  bool (*progress)(BgCheckWatcher *watcher, uint64_t done, uint64_t total);
};

/* As `qemu-img check` counts them. */
typedef struct BgCheckResult {
  uint64_t corruptions, leaks; /* that are left */
  uint64_t corruptions_fixed, leaks_fixed;
  uint64_t check_errors;     /* what could not be looked at */
  uint64_t image_end_offset; /* bytes: behind the last cluster in use */
  uint64_t total_clusters;   /* of the disk */
  uint64_t allocated_clusters, fragmented_clusters, compressed_clusters;
} BgCheckResult;

typedef struct BgDriver BgDriver;
struct BgDriver {
  const char *name;    /* as in QEMU's `driver` option */
  const char *summary; /* one line for --list-drivers, no full stop */
  BgKind kind;

  const BgOption *options; /* NULL: none */
  size_t options_size;     /* of the typed struct; 0 iff options is NULL */
  const BgChildSpec *children;

  /* PROTOCOL: URI schemes ("nbd"); the option `filename` takes such a URI. NULL-terminated. NULL: files of the host, or none. */
  const char *const *schemes;

  /* Requests may wait for long, or for ever, for somebody else (a server): they are made where nobody else waits for them, and
   * abandon() ends them. */
  bool waits;

  /* ── control calls ── */

  /* How surely `head` (the image's first `length` bytes, at most 64 KiB) is of this format: 0 no … 100
   * certain. NULL: never found by content. */
  int (*probe)(const uint8_t *head, size_t length);

  /* A new instance, open read-only. `options` stays the core's and valid until close or the commit of a change that
   * replaces it. mode->writable is false. NULL and error on failure; then nothing is left behind (children
   * taken by need_child are the core's to drop). */
  void *(*open)(BgHost *host, const void *options, const BgMode *mode, GError **error);
  /* No data call is under way, the node is not writable. Never fails. */
  void (*close)(void *instance);

  /* The steps of a change: another mode, other values of changeable options, or both. All NULL: any change of mode is
   * nothing to do (changeable options then may not exist).
   * change_open prepares (new descriptors, images, connections) and returns in *pending what the next steps get; on error nothing changed.
   * change_settle makes the node such that its parents can rely on the new mode (up: the child below is
   *   writable already, write marks into the header; down: flush what is cached, take the marks off); may fail.
   * change_commit drops the old state; cannot fail, does no I/O that can.
   * change_abort undoes change_open and, if it succeeded, change_settle; frees pending.
   * A failed change_settle leaves undoing its own part to itself; change_abort still follows. */
  bool (*change_open)(void *instance, const BgMode *mode, const void *options, void **pending, GError **error);
  bool (*change_settle)(void *instance, void *pending, GError **error);
  void (*change_commit)(void *instance, void *pending);
  void (*change_abort)(void *instance, void *pending);

  /* Whether a change to `mode` would work now, as far as can be told without doing it and without waiting: permissions,
   * read-only file systems, locks of others, image flags. errno: EBUSY held by another party, EACCES,
   * EROFS … Changes nothing. NULL: always. */
  bool (*can_change)(void *instance, const BgMode *mode, GError **error);

  /* If somebody else has been waited for and has kept silent for `silence` ms: every data call, and every flush of a change, that
   * waits for him ends now, with an error; later ones do not wait either until he has answered again. What was acknowledged stays so. True
   * if any waited so long. Any thread, beside all other calls but open and close; never blocks. NULL iff `waits` is false. */
  bool (*abandon)(void *instance, unsigned silence);

  /* The permissions to take on `child` and share of it, from what parties above hold (`perm`) and share (`shared`) of the node.
   * `writable`: the node is or becomes writable. NULL: by role (graph/perm.h). */
  void (*child_perm)(void *instance, const BgChild *child, bool writable, BgPerm perm, BgPerm shared,
                     BgPerm *child_perm, BgPerm *child_shared);

  /* Facts beside options. NULL: none. */
  void (*info)(void *instance, BgInfo *info);

  /* Dirty bitmaps that the image keeps while the node is not writable, so that they are not among BgHost.bitmaps: BgBitmapInfo *, the
   * caller's. May read the image. NULL, as an answer too: none. */
  GPtrArray *(*kept_bitmaps)(void *instance);

  /* What the image keeps is stored when it becomes read-only; until then a crash leaves a bitmap that is not to be trusted, or none. The node is
   * writable, and the core holds it alone. All NULL: it keeps none but what kept_bitmaps tells of, and those cannot be changed.
   * keep: a new one, which is in BgHost.bitmaps already, shall be kept. On failure nothing changed.
   * touch: one is about to change other than by marks of writers (to be cleared, removed …): durable when this returns true.
   * forget: one that was touched is kept no more. */
  bool (*bitmap_keep)(void *instance, BgBitmap *bitmap, GError **error);
  bool (*bitmap_touch)(void *instance, const char *name, GError **error);
  void (*bitmap_forget)(void *instance, const char *name);

  /* PROTOCOL: the host file's stat, or one whose owner and mode say who could reach the storage by himself; -errno where there is
   * none. NULL: no host file. Never blocks. */
  int (*host_stat)(void *instance, struct stat *st);
  /* PROTOCOL: a new read-only descriptor, the caller's, of the regular host file whose bytes are the node's, each at its place; I/O to
   * it is as good as the node's own. -ENOTSUP where there is none (a device, cache.direct), or -errno. NULL: there is none. */
  int (*host_fd)(void *instance);
  /* PROTOCOL: the name under which the storage is known (a file name, a URI), owned by the instance. NULL: none. */
  const char *(*filename)(void *instance);

  /* Makes a new, empty image (formats) or storage (protocols: create_options then hold its name). NULL: cannot. On
   * error a file made by this call is removed again. */
  const BgOption *create_options;
  size_t create_options_size;
  bool (*create)(const BgCreate *create, GError **error);
  /* FORMAT: the name of the file for data that create() makes beside the image, as it shall stand in the image; owned by `options`.
   * NULL, as an answer too: none. */
  const char *(*create_data_file)(const void *options);

  /* Whether the image as it lies in its children holds together. The instance is not writable, and nobody else changes the image
   * meanwhile; data calls may read beside it. To fix anything, the child `file` is writable with RESIZE already; other children
   * may be out of reach (every call is -ENXIO), for what they hold is not looked at. What
   * cannot be mended is told and left. False: could not be checked, or not be written; *result is untouched, and the
   * image is no worse than it was. NULL: the format has no check. */
  bool (*check)(void *instance, BgFix fix, BgCheckWatcher *watcher, BgCheckResult *result, GError **error);

  /* FORMAT: from now on the image records `file` in `format` as its backing file (both NULL: none); the children stay as they are. The node is
   * writable; data calls may run beside. Safe at every instant: a crash leaves the old record or the new one, and the new one is
   * durable when this returns true. On failure the old one stands. EINVAL: the image cannot have one, or not of such a name; ENOSPC:
   * there is no room for the name. NULL: the format records none. */
  bool (*change_backing)(void *instance, const char *file, const char *format, GError **error);
  /* What is recorded, each the caller's (g_free()) or NULL. Never blocks. NULL iff change_backing is. */
  void (*backing)(void *instance, char **file, char **format);

  /* ── internal snapshots; all NULL: the format has none ── */

  /* The first `most` in the image, in its order: BgSnapshot *, the caller's. *count (NULL: never mind): how many there are. Never blocks. */
  GPtrArray *(*snapshots)(void *instance, size_t most, size_t *count);

  /* The node is writable, and the core holds it alone: no data call is under way. Safe at every instant: a crash leaves what was, or what
   * shall be. On failure nothing changed.
   * create: keeps the disk as it is now under a new id; names need not differ. EOVERFLOW: refcounts are too narrow.
   * apply: the disk becomes what it was, its size, too; the snapshot stays.
   * delete: its space is given back. */
  bool (*snapshot_create)(void *instance, const char *name, GError **error);
  bool (*snapshot_apply)(void *instance, const char *id, GError **error);
  bool (*snapshot_delete)(void *instance, const char *id, GError **error);

  /* How a snapshot is read: the driver of nodes that show one. It has size, close, change_*, limits, child_perm, map and preadv_special, whose
   * extents name the children of the node that has the snapshot; BACKING is that node's COW child. Such a node is never written. */
  const BgDriver *view;
  /* An instance of `view`, which `instance` outlives. Reads nothing: that waits for the first data call. NULL: there is no such snapshot.
   * When there no longer is, reading is -ESTALE, also where another snapshot has got the same id. */
  void *(*view_open)(void *instance, const char *id);

  /* ── data calls ── */

  void (*limits)(void *instance,
                 BgLimits *limits);     /* NULL: alignment 1, granularity 1, grows as the PRIMARY child does */
  int64_t (*size)(void *instance);      /* bytes or -errno; never blocks. NULL: the PRIMARY child's */
  int64_t (*allocated)(void *instance); /* bytes of storage in use. NULL: the sum of the DATA and METADATA children's */

  /* Either both (opaque: I/O goes here) or neither (`map` says where); a filter whose request alignment is 1 may have pwritev alone:
   * writes go there, reads where map says. Reads past the end give zeros; writes past the end come only if limits say that the
   * node grows. */
  int (*preadv)(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset);
  int (*pwritev)(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset);

  /* What is at [offset, offset+length): one extent from its start. Opaque drivers: a report of holes, NULL: all DATA.
   * Others: the data path; NULL: the FILTERED child's bytes, in place. */
  int (*map)(void *instance, uint64_t offset, uint64_t length, BgExtent *extent);
  /* Reads within one SPECIAL extent. NULL iff map never yields one. */
  int (*preadv_special)(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset);

  /* Writes one whole special granule (the last may be cut by the end of the disk) in the driver's special form, in place of
   * whatever is there; map says SPECIAL from then on. The core holds the range alone. -ENOTSUP: it would not get smaller, or
   * cannot be done here; nothing changed, and the core writes plainly. NULL iff limits give no special granularity. */
  int (*pwritev_special)(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset);

  /* Space for [offset, offset+length) (or a part from its start), none of which map called IN_PLACE just now; it may have become so since, by a
   * request to other granules, and then that is the space. The core holds the range, rounded to granules, alone; fills what the caller does not write from the node's own content; then
   * calls commit (publish: from then on map says so; cannot see ENOSPC any more) or abort (space is given back,
   * nothing changed). NULL: every byte is IN_PLACE. */
  int (*reserve)(void *instance, uint64_t offset, uint64_t length, BgReservation *reservation);
  int (*commit)(void *instance, const BgReservation *reservation);
  void (*abort)(void *instance, const BgReservation *reservation);

  /* Where map or reserve say ENCODED: turns the child's bytes into the node's, and back, in place. Whole units of the limits'
   * request_alignment, in one extent (whose offsets in node and child are whole units, too). NULL iff nothing is ever ENCODED. */
  int (*decode)(void *instance, void *buffer, size_t length, uint64_t node_offset, uint64_t child_offset);
  int (*encode)(void *instance, void *buffer, size_t length, uint64_t node_offset, uint64_t child_offset);

  /* Makes whole granules (the last may be cut by the end) read as zeros without writing them. The core holds the range alone.
   * -ENOTSUP: the core writes zeros; a driver answers so before it has changed anything. NULL: passed on to where map
   * says IN_PLACE, zeros written elsewhere. */
  int (*zero)(void *instance, uint64_t offset, uint64_t length, BgZeroFlags flags);
  /* Hint, whole granules; the core holds the range alone and asks only where the node's `discard` is unmap. -ENOTSUP is taken
   * for 0. NULL: passed on as zero is. */
  int (*discard)(void *instance, uint64_t offset, uint64_t length);

  /* Hands cached metadata to the children in an order that is safe at every instant (it flushes children where the
   * order asks for it). Not the last flush: the core does that. NULL: nothing is cached. */
  int (*write_back)(void *instance);
  /* PROTOCOL: what was written is durable. A failure that may have lost data stays until a change reopens the node.
   * NULL: nothing to do; formats and filters have none, the core flushes their children. */
  int (*flush)(void *instance);

  /* The core holds the whole node alone, and its bitmaps have the larger of both sizes. Growth reads as zeros. NULL: the node cannot be
   * resized. */
  int (*resize)(void *instance, uint64_t size);
};

#endif
