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

void bgfs_busy_poll_init(BgfsBusyPoll *busy);

/* Returns once there is something to read from `fd`, or the time is up: the caller reads then, which may block. What it
 * returns is for bgfs_busy_poll_end(), after that. */
int64_t bgfs_busy_poll_begin(BgfsBusyPoll *busy, int fd);
void bgfs_busy_poll_end(BgfsBusyPoll *busy, int64_t begun);

#endif
