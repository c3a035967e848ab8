/* What a driver sees of the node below it: a function table, nothing else. In the graph an edge fills it,
 * in tests a memory child or one that fails at the Nth call. */
#ifndef BG_CHILD_H
#define BG_CHILD_H

#include "drivers/perm.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bounds that hold for requests to a node, fixed from open to the next reopen. */
typedef struct BgLimits {
  uint32_t
      request_alignment; /* bytes, a power of two ≥ 1: offset, length and memory of preadv and pwritev; of decode and encode */
  uint32_t granularity;         /* bytes, a power of two ≥ 1: allocation unit; reserve, zero and discard work in it */
  bool grows;                   /* a write past the end makes the node longer (a regular host file) */
  uint32_t special_granularity; /* bytes, a power of two: pwritev_special works in it; 0: it does not at all */
} BgLimits;

typedef enum {
  BG_ZERO_NONE = 0,
  BG_ZERO_MAY_UNMAP = 1 << 0,  /* the space may be given back */
  BG_ZERO_NO_FALLBACK = 1 << 1 /* to a driver only: -ENOTSUP where it would take as long as writing zeros */
} BgZeroFlags;

typedef struct BgChild BgChild;

/* The longest vector that a data call takes. */
#define BG_IOV_MAX 32

/* All calls: any number of threads at once; 0 or -errno; ranges need not be aligned (the core aligns); no
 * lock that a parent's call might need is held while they run. Writing calls need WRITE on the edge, else -EPERM. */
typedef struct BgChildOps {
  /* Reads all bytes of the vector from `offset`; past the child's end they are zeros. */
  int (*preadv)(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset);
  /* Writes all bytes; past the child's end it grows iff the edge holds RESIZE, else -ENOSPC. */
  int (*pwritev)(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset);
  /* As pwritev, in the special form (compressed) of the node below wherever that takes it, plainly elsewhere. NULL iff limits give
   * no special granularity. */
  int (*pwritev_special)(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset);
  /* Makes the range read as zeros; the core writes zeros where the driver below cannot do better. */
  int (*zero)(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags);
  /* A hint that the range's content is no longer needed; what it reads afterwards is undefined. 0 if ignored. */
  int (*discard)(BgChild *child, uint64_t offset, uint64_t length);
  /* Everything written before is durable when this returns 0. */
  int (*flush)(BgChild *child);
  /* Bytes, or -errno. Never blocks. */
  int64_t (*size)(BgChild *child);
  /* Needs RESIZE. New bytes read as zeros. */
  int (*resize)(BgChild *child, uint64_t size);
  void (*limits)(BgChild *child, BgLimits *limits);
} BgChildOps;

struct BgChild {
  const BgChildOps *ops;
  const char *name; /* "file", "backing", … */
  BgRole role;
};

/* Single-buffer forms of the vectored calls. */
static inline int bg_child_pread(BgChild *child, void *buffer, uint64_t length, uint64_t offset)
{
  struct iovec iov = {buffer, length};
  return child->ops->preadv(child, &iov, 1, offset);
}

static inline int bg_child_pwrite(BgChild *child, const void *buffer, uint64_t length, uint64_t offset)
{
  struct iovec iov = {(void *)buffer, length};
  return child->ops->pwritev(child, &iov, 1, offset);
}

#endif
