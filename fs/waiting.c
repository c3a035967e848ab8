#include "fs/waiting.h"

#include "fs/process.h"

#include <errno.h>
#include <time.h>

enum { WATCH_INTERVAL = 100 /* ms */ };

struct BgfsWatch {
  pthread_mutex_t lock; /* also of the handles' counts */
  pthread_cond_t changed;
  GQueue interrupted; /* BgfsWaiting, not answered when they were put here */
  bool running, stop;
};

/* ── answers: one for each request ── */

/* True for the one who has to answer. */
static bool take_answer(BgfsWaiting *waiting)
{
  pthread_mutex_lock(&waiting->lock);
  bool first = !waiting->answered;
  waiting->answered = true;
  pthread_mutex_unlock(&waiting->lock);
  return first;
}

bool bgfs_waiting_given_up(BgfsWaiting *waiting)
{
  pthread_mutex_lock(&waiting->lock);
  bool answered = waiting->answered;
  pthread_mutex_unlock(&waiting->lock);
  return answered;
}

/* The last that is done with `waiting` here: its own thread may free it then. */
static void answer_interrupted(BgfsWaiting *waiting)
{
  fuse_req_t req = waiting->req;
  if (take_answer(waiting))
    fuse_reply_err(req, EINTR);
}

/* ── callers that were interrupted ── */

/* Under watch->lock. */
static void look_at_all(BgfsWatch *watch)
{
  for (GList *link = watch->interrupted.head, *next; link; link = next) {
    BgfsWaiting *waiting = link->data;
    next = link->next;
    if (!bgfs_process_is_dying(waiting->caller))
      continue;
    g_queue_unlink(&watch->interrupted, link);
    link->prev = link->next = NULL;
    waiting->watched = false;
    answer_interrupted(waiting);
  }
}

static void *watch_run(void *data)
{
  BgfsWatch *watch = data;
  pthread_mutex_lock(&watch->lock);
  while (!watch->stop && watch->interrupted.head) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WATCH_INTERVAL * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
    look_at_all(watch);
  }
  watch->running = false;
  pthread_cond_broadcast(&watch->changed);
  pthread_mutex_unlock(&watch->lock);
  return NULL;
}

static void watch_add(BgfsWatch *watch, BgfsWaiting *waiting)
{
  pthread_t thread;
  pthread_mutex_lock(&watch->lock);
  waiting->watched = true;
  g_queue_push_tail_link(&watch->interrupted, &waiting->link);
  if (!watch->running && pthread_create(&thread, NULL, watch_run, watch) == 0) {
    pthread_detach(thread);
    watch->running = true;
  }
  pthread_mutex_unlock(&watch->lock);
}

static void watch_remove(BgfsWatch *watch, BgfsWaiting *waiting)
{
  pthread_mutex_lock(&watch->lock);
  if (waiting->watched)
    g_queue_unlink(&watch->interrupted, &waiting->link);
  waiting->watched = false;
  pthread_mutex_unlock(&watch->lock);
}

BgfsWatch *bgfs_watch_new(void)
{
  BgfsWatch *watch = g_new0(BgfsWatch, 1);
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&watch->changed, &attr);
  pthread_condattr_destroy(&attr);
  pthread_mutex_init(&watch->lock, NULL);
  g_queue_init(&watch->interrupted);
  return watch;
}

void bgfs_watch_free(BgfsWatch *watch)
{
  if (!watch)
    return;
  pthread_mutex_lock(&watch->lock);
  watch->stop = true;
  pthread_cond_broadcast(&watch->changed);
  while (watch->running)
    pthread_cond_wait(&watch->changed, &watch->lock);
  pthread_mutex_unlock(&watch->lock);
  pthread_cond_destroy(&watch->changed);
  pthread_mutex_destroy(&watch->lock);
  g_free(watch);
}

/* Comes once for a request, and libfuse holds a lock of it meanwhile. */
static void on_interrupt(fuse_req_t req, void *data)
{
  (void)req;
  BgfsWaiting *waiting = data;
  if (bgfs_process_is_dying(waiting->caller))
    answer_interrupted(waiting);
  else
    watch_add(waiting->fs->watch, waiting);
}

/* ── handles: they stay while requests are under way ── */

static void begin_on(BgfsWatch *watch, BgfsHandle *handle)
{
  if (!handle)
    return;
  pthread_mutex_lock(&watch->lock);
  handle->under_way++;
  pthread_mutex_unlock(&watch->lock);
}

static void end_on(BgfsFs *fs, BgfsHandle *handle)
{
  if (!handle)
    return;
  BgfsInode *inode = handle->inode;
  pthread_mutex_lock(&fs->watch->lock);
  BgfsTask *release = --handle->under_way == 0 ? g_steal_pointer(&handle->release) : NULL;
  pthread_mutex_unlock(&fs->watch->lock);
  if (release)
    bgfs_changes_submit(fs->changes, &inode->serial, release);
}

void bgfs_waiting_release(BgfsFs *fs, BgfsHandle *handle, BgfsTask *release)
{
  BgfsInode *inode = handle->inode;
  pthread_mutex_lock(&fs->watch->lock);
  bool later = handle->under_way > 0;
  if (later)
    handle->release = release;
  pthread_mutex_unlock(&fs->watch->lock);
  if (!later)
    bgfs_changes_submit(fs->changes, &inode->serial, release);
}

/* ── a request ── */

static void waiting_free(BgfsWaiting *waiting)
{
  pthread_mutex_destroy(&waiting->lock);
  g_free(waiting->data);
  g_free(waiting);
}

/* From then on nobody interrupts any more. */
static void finish(BgfsWaiting *waiting, int64_t result)
{
  if (take_answer(waiting)) {
    fuse_req_interrupt_func(waiting->req, NULL, NULL);
    watch_remove(waiting->fs->watch, waiting);
    waiting->work->reply(waiting->req, result, waiting);
  } else {
    watch_remove(waiting->fs->watch, waiting);
  }
}

static void run(BgfsPoolTask *task)
{
  BgfsWaiting *waiting = (BgfsWaiting *)task;
  BgfsFs *fs = waiting->fs;
  BgfsHandle *handle = waiting->handle, *other = waiting->other;
  bool wanted = waiting->closes || !bgfs_waiting_given_up(waiting);
  finish(waiting, wanted ? waiting->work->run(waiting) : -EINTR);
  waiting_free(waiting);
  end_on(fs, handle);
  end_on(fs, other);
}

void bgfs_waiting_submit(fuse_req_t req, BgfsHandle *handle, const BgfsWaiting *what)
{
  BgfsWaiting *waiting = g_new(BgfsWaiting, 1);
  BgfsPool *pool = &handle->inode->pool;
  *waiting = *what;
  waiting->task.run = run;
  waiting->fs = bgfs_fs(req);
  waiting->handle = handle;
  waiting->req = req;
  waiting->caller = fuse_req_ctx(req)->pid;
  waiting->link.data = waiting;
  pthread_mutex_init(&waiting->lock, NULL);
  begin_on(waiting->fs->watch, handle);
  begin_on(waiting->fs->watch, waiting->other);
  if (waiting->closes && bgfs_process_is_dying(waiting->caller)) {
    /* it cannot be told, and would not leave before */
    waiting->answered = true;
    fuse_reply_err(req, 0);
  } else {
    fuse_req_interrupt_func(req, on_interrupt, waiting);
  }
  bgfs_pool_submit(pool, &waiting->task);
}
