/* Threads for the requests to one file that may wait for somebody else (a server): FUSE's own threads only hand over. They are started as
 * requests come and end when there are none. */
#ifndef BGFS_POOL_H
#define BGFS_POOL_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

#define BGFS_POOL_THREADS 16

/* The head of a request's own struct, which `run` frees. */
typedef struct BgfsPoolTask {
  void (*run)(struct BgfsPoolTask *task);
} BgfsPoolTask;

typedef struct BgfsPool {
  pthread_mutex_t lock;
  pthread_cond_t ready; /* a task came */
  pthread_cond_t ended; /* a thread ended */
  GQueue tasks;
  unsigned threads, idle;
  bool stop;
} BgfsPool;

void bgfs_pool_init(BgfsPool *pool);
/* Waits until all tasks are done and all threads have ended; none comes any more. */
void bgfs_pool_finish(BgfsPool *pool);
/* Finishes, too. */
void bgfs_pool_clear(BgfsPool *pool);

/* Runs the task on a thread, at once unless all are busy. Does not block, unless there is no thread at all and none can be had: then
 * the caller runs it. */
void bgfs_pool_submit(BgfsPool *pool, BgfsPoolTask *task);

#endif
