/* Features of the kernel that libfuse before 3.17 cannot ask for: added to its INIT reply on the way out, whatever libfuse it is.
 *
 * FUSE_HANDLE_KILLPRIV_V2: node files have neither set-id bits nor capabilities. Unless told so the kernel asks
 * for security.capability before every write. FUSE_DIRECT_IO_ALLOW_MMAP: files that are opened uncached can be
 * mapped all the same. FUSE_PASSTHROUGH: see passthrough.h. FUSE_OVER_IO_URING: see ring/ring.h. */
#ifndef BGFS_INIT_REPLY_H
#define BGFS_INIT_REPLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* How many file systems may lie upon each other: a host's file with passthrough is on a plain one. */
#define BGFS_STACK_DEPTH 1

/* What is known of the INIT request; zeroed at first but for what is wanted. */
typedef struct BgfsInitReply {
  bool wants_passthrough;      /* set before INIT */
  bool wants_ring;             /* set before its reply */
  atomic_uint_fast64_t unique; /* of the request that waits for its reply, beside which notifications go out; 0: none */
  uint64_t flags;              /* that the kernel offers */
  bool maps_uncached;          /* FUSE_DIRECT_IO_ALLOW_MMAP was agreed on */
  bool passthrough;            /* FUSE_PASSTHROUGH was */
  bool ring;                   /* FUSE_OVER_IO_URING was: requests come through io_uring only, from the reply on */
} BgfsInitReply;

/* Looks at a request of `length` bytes; whether it is INIT. */
bool bgfs_init_reply_request(BgfsInitReply *init, const void *request, size_t length);
/* Whether the kernel offers requests through io_uring. After INIT. */
bool bgfs_init_reply_offers_ring(const BgfsInitReply *init);
/* Changes the reply in `iov` if it is the one to that request, and says whether it is. */
bool bgfs_init_reply_patch(BgfsInitReply *init, const struct iovec *iov, int count);

#endif
