/* Plays the core's part over one node, so that any driver can be tested through its contract alone: opens it read-only, changes it, maps,
 * reserves, fills and commits, holds ranges, and passes on what a driver leaves to the core. */
#ifndef CORE_SHIM_H
#define CORE_SHIM_H

#include "drivers/driver.h"

typedef struct Shim Shim;

typedef struct ShimSetup {
  const BgDriver *driver;
  const char *const *options; /* key, value, …, NULL; NULL: none */
  BgChild *file;              /* the child "file"; stays the caller's, as backing */
  BgChild *backing;           /* the child of role COW; NULL: none */
  bool direct;
  bool special;  /* writes take the driver's special form wherever it has one */
  BgChild *data; /* the child "data-file"; NULL: none */
  const BgSecret
      *secret; /* whichever is asked for; stays the caller's. NULL: none, encrypted nodes are only looked at */
} ShimSetup;

/* Opens the node read-only. NULL on error. */
Shim *shim_open(const ShimSetup *setup, GError **error);
/* Goes back to read-only first where it still can. NULL is fine. */
void shim_close(Shim *shim);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Shim, shim_close)

/* Makes an image or storage with `options` typed by the driver's create_options. */
bool shim_create(const BgDriver *driver, const char *const *options, const BgCreate *create, GError **error);

/* One whole change: to be writable or not, with other options (NULL: as they are). The edges are granted what both modes need until it
 * ends. Not while data calls are under way, unless the driver's own promise is under test. */
bool shim_set_writable(Shim *shim, bool writable, GError **error);
bool shim_set_options(Shim *shim, const char *const *options, GError **error);
bool shim_is_writable(const Shim *shim);

void *shim_instance(Shim *shim);
BgBitmaps *shim_bitmaps(Shim *shim);
/* What the driver asked for as the backing file; NULL: nothing. */
const char *shim_backing_reference(Shim *shim);
/* How often the driver said that the image contradicts itself. */
unsigned shim_corruptions(Shim *shim);
/* How often it warned. */
unsigned shim_warnings(Shim *shim);

/* As `special` of the setup, from now on. Not while data calls are under way. */
void shim_set_special(Shim *shim, bool special);

/* Data calls: any number of threads. Ranges of any alignment; those past the end read as zeros, and are -ENOSPC to writers unless the
 * node grows. 0 or -errno. */
int64_t shim_size(Shim *shim);
void shim_limits(Shim *shim, BgLimits *limits);
int shim_read(Shim *shim, void *buffer, uint64_t length, uint64_t offset);
int shim_write(Shim *shim, const void *buffer, uint64_t length, uint64_t offset);
int shim_zero(Shim *shim, uint64_t offset, uint64_t length, BgZeroFlags flags);
/* Whole granules within the range only. */
int shim_discard(Shim *shim, uint64_t offset, uint64_t length);
int shim_write_back(Shim *shim);
/* write_back, then the children that are written to, then the node's own. */
int shim_flush(Shim *shim);
int shim_resize(Shim *shim, uint64_t size);
/* The node is not writable; to fix anything the edge "file" is granted what that takes. ENOTSUP: the driver has no check. */
bool shim_check(Shim *shim, BgFix fix, BgCheckResult *result, GError **error);
/* The internal snapshots, the caller's; none where the format has none. */
GPtrArray *shim_snapshots(Shim *shim);
/* What a snapshot shows from its first byte on, by the driver's own view; zeros past its size. -ENOENT: there is none of that id. */
int shim_read_snapshot(Shim *shim, const char *id, void *buffer, uint64_t length);
/* One extent, as the driver tells it; opaque drivers without `map`: DATA. */
int shim_map(Shim *shim, uint64_t offset, uint64_t length, BgExtent *extent);

#endif
