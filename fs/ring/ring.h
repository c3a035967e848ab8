/* Requests that the kernel hands over through io_uring instead of /dev/fuse: one system call for each, which gives the answer back and fetches the next
 * one, and no processor but the caller's own is woken for it. Needs Linux 6.14 and its setting fuse.enable_uring; see kernel.h, and
 * Documentation/filesystems/fuse/fuse-io-uring.rst there.
 *
 * The kernel has a queue for each processor. Several threads stand at each queue, with a ring of its own each, and the kernel takes the one that was
 * there last: it need not be told which threads shall sleep (compare readers.h). A thread carries out what it takes. Where the answer is
 * left to another thread it comes back for its own next request meanwhile. */
#ifndef BGFS_RING_H
#define BGFS_RING_H

#include "fs/ring/server.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/uio.h>

typedef struct BgfsRing BgfsRing;

/* Everything is there, and nothing asked of the kernel, which need not have begun the connection. NULL: this machine does not do it; the error says why. */
BgfsRing *bgfs_ring_new(const BgfsRingServer *server, GError **error);
/* The kernel has agreed: requests may come. It goes on with /dev/fuse should it change its mind. */
void bgfs_ring_go(BgfsRing *ring);

/* Takes an answer as writev() to /dev/fuse does. False: it is for nothing that came through the ring (NULL: nothing does). Any thread. */
bool bgfs_ring_answer(BgfsRing *ring, const struct iovec *iov, int count);

/* The calling thread is of a ring: as long as it carries out a request nobody else can answer that. */
bool bgfs_ring_is_mine(void);

/* No request comes any more; waits for those that threads are at. Answers still have a place to go to. NULL is fine, and twice. */
void bgfs_ring_stop(BgfsRing *ring);
/* Stops, too. No answer comes any more. NULL is fine. */
void bgfs_ring_free(BgfsRing *ring);

#endif
