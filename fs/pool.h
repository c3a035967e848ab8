/* Threads that run tasks which may wait: they are started as tasks come, and end when none came for a while. */
#ifndef BGFS_POOL_H
#define BGFS_POOL_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

/* The head of a task's own struct, which `run` may free. */
typedef struct BgfsTask {
  void (*run)(struct BgfsTask *task);
} BgfsTask;

typedef struct BgfsPool {
  pthread_mutex_t lock;
  pthread_cond_t ready; /* a task came */
  pthread_cond_t ended; /* a thread ended */
  GQueue tasks;         /* BgfsTask * */
  unsigned threads, most, idle;
  bool stop;
} BgfsPool;

/* `most`: threads at a time, at least 1; UINT_MAX where each task that waits stands for a blocked process. */
void bgfs_pool_init(BgfsPool *pool, unsigned most);
/* Waits until all tasks are done and all threads have ended; none comes any more. */
void bgfs_pool_finish(BgfsPool *pool);
/* Finishes, too. */
void bgfs_pool_clear(BgfsPool *pool);

/* Runs the task on a thread, at once unless all are busy. Does not block, unless there is no thread at all and none can be had: then
 * the caller runs it. */
void bgfs_pool_submit(BgfsPool *pool, BgfsTask *task);

#endif
