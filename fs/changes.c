#include "fs/changes.h"

#include <time.h>

enum { IDLE_SECONDS = 5 };

struct BgfsChanges {
  pthread_mutex_t lock;
  pthread_cond_t ready; /* a task came */
  pthread_cond_t ended; /* a thread ended */
  GQueue tasks;         /* BgfsTask *, the first of their serial */
  unsigned threads, idle;
  bool stop;
};

void bgfs_serial_init(BgfsSerial *serial)
{
  pthread_mutex_init(&serial->lock, NULL);
  g_queue_init(&serial->waiting);
  serial->running = false;
}

void bgfs_serial_clear(BgfsSerial *serial)
{
  g_queue_clear(&serial->waiting);
  pthread_mutex_destroy(&serial->lock);
}

BgfsChanges *bgfs_changes_new(void)
{
  BgfsChanges *changes = g_new0(BgfsChanges, 1);
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_mutex_init(&changes->lock, NULL);
  pthread_cond_init(&changes->ready, &attr);
  pthread_cond_init(&changes->ended, &attr);
  pthread_condattr_destroy(&attr);
  g_queue_init(&changes->tasks);
  return changes;
}

void bgfs_changes_free(BgfsChanges *changes)
{
  if (!changes)
    return;
  pthread_mutex_lock(&changes->lock);
  changes->stop = true;
  pthread_cond_broadcast(&changes->ready);
  while (changes->threads > 0)
    pthread_cond_wait(&changes->ended, &changes->lock);
  pthread_mutex_unlock(&changes->lock);
  pthread_cond_destroy(&changes->ready);
  pthread_cond_destroy(&changes->ended);
  pthread_mutex_destroy(&changes->lock);
  g_free(changes);
}

static BgfsTask *next_of_serial(BgfsSerial *serial)
{
  pthread_mutex_lock(&serial->lock);
  BgfsTask *next = g_queue_pop_head(&serial->waiting);
  if (!next)
    serial->running = false;
  pthread_mutex_unlock(&serial->lock);
  return next;
}

static void run_all(BgfsTask *task)
{
  while (task) {
    BgfsSerial *serial = task->serial;
    task->run(task);
    task = next_of_serial(serial);
  }
}

/* The next task, or NULL when the thread shall end. Under changes->lock. */
static BgfsTask *wait_for_task(BgfsChanges *changes)
{
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += IDLE_SECONDS;
  int result = 0;
  while (g_queue_is_empty(&changes->tasks) && !changes->stop && result == 0) {
    changes->idle++;
    result = pthread_cond_timedwait(&changes->ready, &changes->lock, &until);
    changes->idle--;
  }
  return g_queue_pop_head(&changes->tasks);
}

static void *work(void *data)
{
  BgfsChanges *changes = data;
  pthread_mutex_lock(&changes->lock);
  for (BgfsTask *task; (task = wait_for_task(changes));) {
    pthread_mutex_unlock(&changes->lock);
    run_all(task);
    pthread_mutex_lock(&changes->lock);
  }
  changes->threads--;
  pthread_cond_signal(&changes->ended);
  pthread_mutex_unlock(&changes->lock);
  return NULL;
}

/* True if there is one more thread. Under changes->lock. */
static bool start_thread(BgfsChanges *changes)
{
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, changes) != 0)
    return false;
  pthread_detach(thread);
  changes->threads++;
  return true;
}

/* Hands the task to a thread; true if there is none and none can be had. */
static bool hand_over(BgfsChanges *changes, BgfsTask *task)
{
  pthread_mutex_lock(&changes->lock);
  g_queue_push_tail(&changes->tasks, task);
  bool alone = false;
  if (changes->idle >= g_queue_get_length(&changes->tasks))
    pthread_cond_signal(&changes->ready);
  else
    alone = !start_thread(changes) && changes->threads == 0;
  if (alone)
    g_queue_pop_tail(&changes->tasks);
  pthread_mutex_unlock(&changes->lock);
  return alone;
}

void bgfs_changes_submit(BgfsChanges *changes, BgfsSerial *serial, BgfsTask *task)
{
  task->serial = serial;
  pthread_mutex_lock(&serial->lock);
  bool first = !serial->running;
  serial->running = true;
  if (!first)
    g_queue_push_tail(&serial->waiting, task);
  pthread_mutex_unlock(&serial->lock);
  if (first && hand_over(changes, task))
    run_all(task);
}
