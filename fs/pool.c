#include "fs/pool.h"

#include "drivers/clock.h"

enum { IDLE_MS = 2000 };

void bgfs_pool_init(BgfsPool *pool, unsigned most)
{
  *pool = (BgfsPool){.most = most};
  pthread_mutex_init(&pool->lock, NULL);
  bg_clock_cond_init(&pool->ready);
  bg_clock_cond_init(&pool->ended);
  g_queue_init(&pool->tasks);
}

void bgfs_pool_finish(BgfsPool *pool)
{
  pthread_mutex_lock(&pool->lock);
  pool->stop = true;
  pthread_cond_broadcast(&pool->ready);
  while (pool->threads > 0)
    pthread_cond_wait(&pool->ended, &pool->lock);
  pthread_mutex_unlock(&pool->lock);
}

void bgfs_pool_clear(BgfsPool *pool)
{
  bgfs_pool_finish(pool);
  pthread_cond_destroy(&pool->ready);
  pthread_cond_destroy(&pool->ended);
  pthread_mutex_destroy(&pool->lock);
}

/* NULL: the thread shall end. Under the lock. */
static BgfsTask *next_task(BgfsPool *pool)
{
  struct timespec until = bg_clock_after(IDLE_MS);
  int result = 0;
  while (g_queue_is_empty(&pool->tasks) && !pool->stop && result == 0) {
    pool->idle++;
    result = pthread_cond_timedwait(&pool->ready, &pool->lock, &until);
    pool->idle--;
  }
  return g_queue_pop_head(&pool->tasks);
}

static void *work(void *data)
{
  BgfsPool *pool = data;
  pthread_mutex_lock(&pool->lock);
  for (BgfsTask *task; (task = next_task(pool));) {
    pthread_mutex_unlock(&pool->lock);
    task->run(task);
    pthread_mutex_lock(&pool->lock);
  }
  pool->threads--;
  pthread_cond_signal(&pool->ended);
  pthread_mutex_unlock(&pool->lock);
  return NULL;
}

/* Under the lock. */
static void start_thread(BgfsPool *pool)
{
  pthread_t thread;
  if (pool->threads >= pool->most || pthread_create(&thread, NULL, work, pool) != 0)
    return;
  pthread_detach(thread);
  pool->threads++;
}

void bgfs_pool_submit(BgfsPool *pool, BgfsTask *task)
{
  pthread_mutex_lock(&pool->lock);
  g_queue_push_tail(&pool->tasks, task);
  if (pool->idle >= g_queue_get_length(&pool->tasks))
    pthread_cond_signal(&pool->ready);
  else
    start_thread(pool);
  bool alone = pool->threads == 0;
  if (alone)
    g_queue_pop_tail(&pool->tasks);
  pthread_mutex_unlock(&pool->lock);
  if (alone)
    task->run(task);
}
