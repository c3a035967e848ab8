#include "fs/waiting.h"

#include "drivers/clock.h"
#include "fs/process.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

enum { INTERVAL = 100, PATIENCE = 200, IDLE = 2000 /* ms */ };

struct BgfsWatch {
  pthread_mutex_t lock; /* also of the handles' counts */
  pthread_cond_t changed;
  GQueue under_way; /* BgfsWaiting, the oldest first */
  bool running, stop;
  atomic_uint here; /* requests that FUSE's own threads wait with */
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

/* ── callers that are killed ── */

/* Under watch->lock, and so it is still there. */
static void look_at(BgfsWaiting *waiting)
{
  if (!bgfs_waiting_given_up(waiting) && bgfs_process_is_dying(waiting->caller) && take_answer(waiting))
    fuse_reply_err(waiting->req, EINTR);
}

static void look_at_all(BgfsWatch *watch)
{
  int64_t before = g_get_monotonic_time() - PATIENCE * 1000;
  for (GList *link = watch->under_way.head; link && ((BgfsWaiting *)link->data)->since < before; link = link->next)
    look_at(link->data);
}

/* True: the time passed. Under watch->lock. */
static bool sleep_for(BgfsWatch *watch, unsigned milliseconds)
{
  struct timespec at = bg_clock_after(milliseconds);
  return pthread_cond_timedwait(&watch->changed, &watch->lock, &at) == ETIMEDOUT;
}

static void *watch_run(void *data)
{
  BgfsWatch *watch = data;
  bool idle = false;
  pthread_mutex_lock(&watch->lock);
  while (!watch->stop && !idle) {
    if (!watch->under_way.head)
      idle = sleep_for(watch, IDLE) && !watch->under_way.head;
    else if (sleep_for(watch, INTERVAL))
      look_at_all(watch);
  }
  watch->running = false;
  pthread_cond_broadcast(&watch->changed);
  pthread_mutex_unlock(&watch->lock);
  return NULL;
}

/* Under watch->lock. Without a thread nobody is answered early. */
static void start_watch(BgfsWatch *watch)
{
  pthread_t thread;
  if (watch->running || pthread_create(&thread, NULL, watch_run, watch) != 0)
    return;
  pthread_detach(thread);
  watch->running = true;
}

BgfsWatch *bgfs_watch_new(void)
{
  BgfsWatch *watch = g_new0(BgfsWatch, 1);
  bg_clock_cond_init(&watch->changed);
  pthread_mutex_init(&watch->lock, NULL);
  g_queue_init(&watch->under_way);
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

/* ── handles: they stay while requests are under way ── */

static void begin(BgfsWaiting *waiting)
{
  BgfsWatch *watch = waiting->fs->watch;
  waiting->since = g_get_monotonic_time();
  waiting->link.data = waiting;
  pthread_mutex_lock(&watch->lock);
  g_queue_push_tail_link(&watch->under_way, &waiting->link);
  waiting->handle->under_way++;
  if (waiting->other)
    waiting->other->under_way++;
  start_watch(watch);
  pthread_mutex_unlock(&watch->lock);
}

/* The task that releases the handle, if that was waiting for this. Under watch->lock. */
static BgfsTask *let_go(BgfsHandle *handle)
{
  return handle && --handle->under_way == 0 ? g_steal_pointer(&handle->release) : NULL;
}

static void end(BgfsWaiting *waiting)
{
  BgfsFs *fs = waiting->fs;
  BgfsInode *inode = waiting->handle->inode, *other_inode = waiting->other ? waiting->other->inode : NULL;
  pthread_mutex_lock(&fs->watch->lock);
  g_queue_unlink(&fs->watch->under_way, &waiting->link);
  BgfsTask *release = let_go(waiting->handle), *other = let_go(waiting->other);
  pthread_mutex_unlock(&fs->watch->lock);
  if (release)
    bgfs_serial_submit(&inode->serial, &fs->changes, release);
  if (other)
    bgfs_serial_submit(&other_inode->serial, &fs->changes, other);
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
    bgfs_serial_submit(&inode->serial, &fs->changes, release);
}

/* ── a request ── */

/* What nobody waits for any more, and was not begun, need not be done. The kernel may release the handle as soon as it has its answer: the task for
 * that waits for end(). */
static void run(BgfsWaiting *waiting)
{
  bool wanted = waiting->closes || !bgfs_waiting_given_up(waiting);
  int64_t result = wanted ? waiting->work->run(waiting) : -EINTR;
  if (take_answer(waiting))
    waiting->work->reply(waiting->req, result, waiting);
  end(waiting);
  pthread_mutex_destroy(&waiting->lock);
}

static void run_task(BgfsTask *task)
{
  BgfsWaiting *waiting = (BgfsWaiting *)task;
  run(waiting);
  g_free((void *)waiting->data);
  g_free(waiting);
}

static void start(BgfsWaiting *waiting)
{
  pthread_mutex_init(&waiting->lock, NULL);
  waiting->answered = waiting->closes && bgfs_process_is_dying(waiting->caller);
  begin(waiting);
  if (waiting->answered) /* it cannot be told, and would not leave before */
    fuse_reply_err(waiting->req, 0);
}

static void run_on_pool(const BgfsWaiting *what)
{
  BgfsWaiting *waiting = g_memdup2(what, sizeof *what);
  BgfsPool *pool = &waiting->handle->inode->pool;
  waiting->task.run = run_task;
  waiting->data = g_memdup2(what->data, what->length);
  start(waiting);
  bgfs_pool_submit(pool, &waiting->task);
}

void bgfs_waiting_run(fuse_req_t req, BgfsHandle *handle, const BgfsWaiting *what)
{
  BgfsWaiting waiting = *what;
  BgfsWatch *watch = bgfs_fs(req)->watch;
  waiting.fs = bgfs_fs(req);
  waiting.handle = handle;
  waiting.req = req;
  waiting.caller = fuse_req_ctx(req)->pid;
  bool here = atomic_fetch_add(&watch->here, 1) < BGFS_WAITING_HERE && !bgfs_ring_is_mine();
  if (here) {
    bgfs_readers_call(&waiting.fs->readers);
    start(&waiting);
    run(&waiting);
  }
  atomic_fetch_sub(&watch->here, 1);
  if (!here)
    run_on_pool(&waiting);
}
