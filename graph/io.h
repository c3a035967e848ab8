/* Data calls on nodes, from inside a gate: what users and edges do. The core moves the data; formats only say where it is.
 *
 * All: any number of threads; 0 or -errno; vectors of at most BG_IOV_MAX entries (others: -EINVAL). Ranges need no alignment.
 * Permissions were checked by the caller. */
#ifndef BG_IO_H
#define BG_IO_H

#include "graph/before-write.h"
#include "graph/node.h"
#include "graph/user.h"

/* Reads everything; zeros past the end. */
int bg_io_preadv(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);

/* Writes everything; past the end only where limits say that the node grows (else -ENOSPC, nothing written). */
int bg_io_pwritev(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);

/* The same, whatever the node's detect-zeroes says. */
int bg_io_pwritev_as_is(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);

/* As bg_io_pwritev(), in the driver's special form wherever it takes it. */
int bg_io_pwritev_special(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);
int bg_io_pwritev_special_as_is(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);

/* Reads as zeros afterwards. `fallback`: zeros are written where the driver cannot do better; else -EOPNOTSUPP before anything
 * changed. Partial granules at both ends are written in any case. Cut at the end unless the node grows. */
int bg_io_zero(BgNode *node, uint64_t offset, uint64_t length, BgZeroFlags flags, bool fallback);

/* Does nothing where the node's `discard` is ignore. */
int bg_io_discard(BgNode *node, uint64_t offset, uint64_t length);

/* A hole or data from `offset`, for at least one byte and at most `length` (> 0; within the size). Looks at a bounded number of extents. */
int bg_io_status(BgNode *node, uint64_t offset, uint64_t length, BgStatus *status);

/* Whether the range (within the size) is known to read as zeros from what formats keep in memory; no storage is asked, so that this costs
 * less than reading. False: it may all the same. */
bool bg_io_reads_zero(BgNode *node, uint64_t offset, uint64_t length);

/* Cached metadata goes to the children, here and at every node below that is writable. */
int bg_io_write_back(BgNode *node);
/* Everything written is durable, metadata included. */
int bg_io_flush(BgNode *node);

/* -EFBIG where the driver cannot. Waits for every request that changes the node. */
int bg_io_resize(BgNode *node, uint64_t size);
/* The same, unless the node is that large already. */
int bg_io_grow(BgNode *node, uint64_t size);

/* Writes within the size of a mapped node; the caller holds the range exclusively in node->ranges. */
int bg_io_write_held(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);

/* The same, of what reads so already: bitmaps take no note of it. */
int bg_io_fill_held(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);

/* As bg_user_populate(). The range is within the size. */
int bg_io_populate(BgNode *node, uint64_t offset, uint64_t length, unsigned depth, void *buffer);

/* Takes the range of whole granules around [offset, offset+length) in node->ranges. */
void bg_io_lock_granules(BgNode *node, BgRange *range, uint64_t offset, uint64_t length, bool exclusive);

/* For bg_io_will_change(). */
void bg_io_before_write(BgNode *node, uint64_t offset, uint64_t length);

/* Takes note of a change that is about to be made, whether it succeeds or not: for the node's bitmaps and those who keep what was. */
static inline void bg_io_will_change(BgNode *node, uint64_t offset, uint64_t length)
{
  if (G_UNLIKELY(node->before_write))
    bg_io_before_write(node, offset, length);
  if (node->limits.grows)
    bg_bitmaps_mark_growing(node->host.bitmaps, offset, length);
  else
    bg_bitmaps_mark(node->host.bitmaps, offset, length);
}

/* Takes note of how far the node was written. */
static inline void bg_io_wrote_up_to(BgNode *node, uint64_t end)
{
  uint_fast64_t before = atomic_load_explicit(&node->written_up_to, memory_order_relaxed);
  while (before < end && !atomic_compare_exchange_weak_explicit(&node->written_up_to, &before, end,
                                                                memory_order_relaxed, memory_order_relaxed))
    ;
}

/* Takes note of a finished write: for flushes and for those who watch the node's bytes. */
void bg_io_wrote(BgNode *node);

#endif
