/* A slot holds one request at a time, which the kernel puts there, and then its answer: in libfuse's form for libfuse, which is one piece, and in the
 * kernel's, which is a header and a payload. */
#ifndef BGFS_RING_SLOT_H
#define BGFS_RING_SLOT_H

#include "fs/ring/kernel.h"

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

typedef struct BgfsRingSlot {
  BgfsRingHeader *header;
  char *payload; /* aligned to a page; in front of it there is room for headers */
  size_t size;   /* of the payload */
  size_t mapped; /* bytes, from `header` on */
  atomic_uint_fast64_t unique; /* of the request that wants an answer; 0: none */
} BgfsRingSlot;

/* Empty, for payloads of up to `size` bytes; memory is used as it is touched. False: errno. */
bool bgfs_ring_slot_init(BgfsRingSlot *slot, size_t size);
/* The kernel has forgotten it. */
void bgfs_ring_slot_clear(BgfsRingSlot *slot);

/* The request that the kernel has put there, as read() from /dev/fuse gives it: `*length` bytes, which are good until it is answered. NULL: it is none.
 * A write's data begins with the payload, and so may what a read's answer is to say. */
const void *bgfs_ring_slot_request(BgfsRingSlot *slot, size_t *length);

/* Puts the answer there, as writev() to /dev/fuse takes it; what lies in the payload already is not copied. One that is too long becomes EIO. */
void bgfs_ring_slot_answer(BgfsRingSlot *slot, const struct iovec *iov, int count);
/* The same for a request that is none: EIO. */
void bgfs_ring_slot_refuse(BgfsRingSlot *slot);

/* Gives memory back that a large request has left, unless its answer is large, too. After the answer was put there. */
void bgfs_ring_slot_trim(BgfsRingSlot *slot);

#endif
