/* Requests that may wait for somebody else: answered early, with EINTR, where their caller is being killed. What they do goes on by itself then.
 *
 * The thread that took a request from the kernel carries it out, for a change of threads takes longer than most answers; but only so many of FUSE's threads
 * wait at once, the others take what comes for other files. What is beyond that goes to the file's pool, as does what came through
 * io_uring: its place there is free for an early answer only when the thread that took it is not at it.
 *
 * The kernel's INTERRUPT is of no use for that: it comes once, for the first signal, and never for direct I/O. And only those who are being killed
 * may be answered early: any other signal would make a program send the same data again while the first request is still under way, and
 * the older one could come last. */
#ifndef BGFS_WAITING_H
#define BGFS_WAITING_H

#include "fs/handle.h"
#include "fs/pool.h"

/* Of FUSE's own threads: half of them. */
#define BGFS_WAITING_HERE (BGFS_THREADS / 2)

typedef struct BgfsWaiting BgfsWaiting;

/* What a request does, and how it is answered. */
typedef struct BgfsWork {
  /* The result (≥ 0 or -errno). */
  int64_t (*run)(BgfsWaiting *waiting);
  /* Answers the kernel; not called where the caller is gone. */
  void (*reply)(fuse_req_t req, int64_t result, const BgfsWaiting *waiting);
} BgfsWork;

struct BgfsWaiting {
  BgfsTask task;
  const BgfsWork *work;
  BgfsFs *fs;
  BgfsHandle *handle, *other; /* `other`: where copy_file_range copies to; else NULL */
  uint64_t offset, other_offset;
  size_t length;
  int mode;         /* of fallocate and lseek */
  const void *data; /* of a write: `length` bytes */

  bool closes; /* FLUSH: is done in any case, and the caller may be on its way out already */

  fuse_req_t req; /* good until it is answered */
  pid_t caller;   /* the thread; 0: not known here */
  pthread_mutex_t lock;
  bool answered; /* (lock) */
  int64_t since; /* monotonic µs */
  GList link;    /* the watch's */
};

/* Whether requests through the handle may wait. Costs one load. */
static inline bool bgfs_may_wait(const BgfsHandle *handle)
{
  return handle->inode && bg_node_may_wait(handle->inode->node);
}

/* Carries it out here, or has it done. `what` and its data are copied where they are needed for longer; the rest is filled in. The handle stays until it is
 * done: see bgfs_waiting_release(). */
void bgfs_waiting_run(fuse_req_t req, BgfsHandle *handle, const BgfsWaiting *what);

/* Submits the task that releases the handle once no request through it is under way. */
void bgfs_waiting_release(BgfsFs *fs, BgfsHandle *handle, BgfsTask *release);

/* Whether the caller has been answered already: loops should end. By work, while it runs. */
bool bgfs_waiting_given_up(BgfsWaiting *waiting);

/* Looks whether callers that wait for long have been killed. */
typedef struct BgfsWatch BgfsWatch;
BgfsWatch *bgfs_watch_new(void);
/* No request is under way. NULL is fine. */
void bgfs_watch_free(BgfsWatch *watch);

#endif
