/* A thread that waits for its next request looks for it a while before it sleeps. Waking a thread takes longer than answering most
 * requests, above all in virtual machines, where a processor without work is given back to the host.
 *
 * One thread at a time looks, on machines with more than one processor, and only while requests keep coming that fast: where they do not,
 * every look would be in vain. */
#ifndef BGFS_BUSY_POLL_H
#define BGFS_BUSY_POLL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BGFS_BUSY_POLL_US 100 /* how long to look at most */

/* Any thread. */
typedef struct BgfsBusyPoll {
  bool possible;          /* there is another processor for those who ask */
  atomic_bool looking;    /* somebody is at it */
  atomic_bool worthwhile; /* the last request to be waited for came soon enough */
} BgfsBusyPoll;

void bgfs_busy_poll_init(BgfsBusyPoll *busy, unsigned processors);

/* Returns once there is something to read from `fd`, or looking for it is not worth the while any more: the caller reads then, which may
 * block. `now`: monotonic µs. */
void bgfs_busy_poll(BgfsBusyPoll *busy, int fd, int64_t now);

/* What it waited for, sleep included, came after `waited` µs. */
void bgfs_busy_poll_came(BgfsBusyPoll *busy, int64_t waited);

#endif
