#include "fs/readers.h"

#include "drivers/clock.h"
#include "fs/tendency.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>

enum {
  AT_ONCE = 4, /* µs: who reads gets in that time what is there already */
  SLOW = 100,  /* µs: longer than it takes to wake a thread */
};

static const BgfsTendency pressure = {1, 4, 16, 32};
static const BgfsTendency long_ones = {16, 1, 16, 64};
static const BgfsTendency slowness = {4, 1, 32, 64};

/* When this thread took the request that it carries out, in monotonic µs; 0: it has had none. */
static _Thread_local int64_t taken_at;

void bgfs_readers_init(BgfsReaders *readers, unsigned processors)
{
  *readers = (BgfsReaders){.processors = processors};
  bgfs_busy_poll_init(&readers->busy_poll, processors);
  pthread_mutex_init(&readers->lock, NULL);
}

void bgfs_readers_clear(BgfsReaders *readers)
{
  pthread_mutex_destroy(&readers->lock);
}

/* ── parking ── */

/* How many threads shall be at it. Who asks needs processors, too; where the storage is waited for, threads need none. */
static unsigned wanted(const BgfsReaders *readers)
{
  if (bgfs_tendency_is_much(&readers->slowness, &slowness) || bgfs_tendency_is_much(&readers->long_ones, &long_ones))
    return UINT_MAX;
  return bgfs_tendency_is_much(&readers->pressure, &pressure) ? MAX(readers->processors / 2, 1) : 1;
}

/* There are enough without this one. */
static bool is_superfluous(const BgfsReaders *readers)
{
  return atomic_load(&readers->waiting) > 0 && atomic_load(&readers->active) > wanted(readers);
}

/* (lock) */
static void unlink_parked(BgfsParked *parked)
{
  BgfsParked **link = &parked->readers->parked;
  while (*link && *link != parked)
    link = &(*link)->below;
  if (*link)
    *link = parked->below;
}

/* (lock) Who was parked last, but who watches only if there is nobody else. */
static void call_one(BgfsReaders *readers)
{
  BgfsParked *parked = readers->parked;
  if (parked && parked == readers->watch && parked->below)
    parked = parked->below;
  if (!parked)
    return;
  unlink_parked(parked);
  parked->called = true;
  atomic_fetch_add(&readers->active, 1);
  pthread_cond_signal(&parked->wake);
}

/* (lock) Until the next request is taken, unless that has happened. */
static void doze(BgfsParked *self, unsigned taken)
{
  BgfsReaders *readers = self->readers;
  atomic_store(&readers->drowsy, true);
  if (atomic_load(&readers->taken) == taken)
    pthread_cond_wait(&self->wake, &readers->lock);
  atomic_store(&readers->drowsy, false);
}

/* (lock) Until it is called, if need be by itself. */
static void watch(BgfsParked *self)
{
  BgfsReaders *readers = self->readers;
  unsigned before = atomic_load(&readers->taken) - 1;
  while (!self->called) {
    struct timespec deadline = bg_clock_after(BGFS_READERS_WATCH_MS);
    if (pthread_cond_timedwait(&self->wake, &readers->lock, &deadline) != ETIMEDOUT)
      continue;
    unsigned taken = atomic_load(&readers->taken);
    if (taken != before)
      before = taken;
    else if (atomic_load(&readers->waiting) > 0)
      doze(self, taken);
    else
      call_one(readers);
  }
}

/* (lock) Also where the thread is cancelled. */
static void leave(void *parked)
{
  BgfsParked *self = parked;
  BgfsReaders *readers = self->readers;
  unlink_parked(self);
  if (readers->watch == self) {
    readers->watch = NULL;
    if (readers->parked)
      pthread_cond_signal(&readers->parked->wake); /* to watch */
  }
  pthread_mutex_unlock(&readers->lock);
  pthread_cond_destroy(&self->wake);
}

/* (lock) Gives it back. */
static void wait_for_call(BgfsReaders *readers)
{
  int before;
  BgfsParked self = {.below = readers->parked, .readers = readers};
  bg_clock_cond_init(&self.wake);
  readers->parked = &self;
  atomic_fetch_sub(&readers->active, 1);
  pthread_cleanup_push(leave, &self);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
  while (!self.called)
    if (readers->watch) {
      pthread_cond_wait(&self.wake, &readers->lock);
    } else {
      readers->watch = &self;
      watch(&self);
    }
  pthread_setcancelstate(before, NULL);
  pthread_cleanup_pop(1);
}

static void park(BgfsReaders *readers)
{
  pthread_mutex_lock(&readers->lock);
  if (is_superfluous(readers))
    wait_for_call(readers);
  else /* who called has not seen this thread */
    pthread_mutex_unlock(&readers->lock);
}

void bgfs_readers_call(BgfsReaders *readers)
{
  if (atomic_load(&readers->waiting) > 0)
    return;
  pthread_mutex_lock(&readers->lock);
  call_one(readers);
  pthread_mutex_unlock(&readers->lock);
}

static void wake_watch(BgfsReaders *readers)
{
  pthread_mutex_lock(&readers->lock);
  atomic_store(&readers->drowsy, false);
  if (readers->watch)
    pthread_cond_signal(&readers->watch->wake);
  pthread_mutex_unlock(&readers->lock);
}

/* ── reading ── */

static bool is_ready(int fd)
{
  struct pollfd device = {fd, POLLIN, 0};
  return poll(&device, 1, 0) > 0;
}

/* The thread has carried out what it took. */
static void note_duration(BgfsReaders *readers, int64_t now)
{
  if (taken_at == 0)
    atomic_fetch_add(&readers->active, 1);
  else
    bgfs_tendency_note(&readers->slowness, &slowness, now - taken_at > SLOW);
}

BgfsTurn bgfs_readers_begin(BgfsReaders *readers, int fd)
{
  int64_t now = g_get_monotonic_time();
  note_duration(readers, now);
  if (is_superfluous(readers)) {
    park(readers);
    now = g_get_monotonic_time();
  }
  atomic_fetch_add(&readers->waiting, 1);
  BgfsTurn turn = {.begun = now, .blind = bgfs_tendency_of(&readers->pressure) == pressure.most};
  turn.at_once = !turn.blind && is_ready(fd);
  if (!turn.blind && !turn.at_once)
    bgfs_busy_poll(&readers->busy_poll, fd, now);
  return turn;
}

static bool needs_company(const BgfsReaders *readers, bool at_once, int fd)
{
  return bgfs_tendency_is_much(&readers->long_ones, &long_ones) ||
         (atomic_load_explicit(&readers->active, memory_order_relaxed) < wanted(readers) && (at_once || is_ready(fd)));
}

void bgfs_readers_end(BgfsReaders *readers, BgfsTurn turn, int fd, bool quick)
{
  taken_at = g_get_monotonic_time();
  int64_t waited = taken_at - turn.begun;
  bool at_once = turn.blind ? waited < AT_ONCE : turn.at_once;
  bgfs_busy_poll_came(&readers->busy_poll, waited);
  bgfs_tendency_note(&readers->pressure, &pressure, at_once);
  unsigned left = atomic_fetch_sub(&readers->waiting, 1) - 1;
  atomic_fetch_add(&readers->taken, 1);
  bgfs_tendency_note(&readers->long_ones, &long_ones, !quick);
  if (left == 0 && needs_company(readers, at_once, fd))
    bgfs_readers_call(readers);
  if (atomic_load(&readers->drowsy))
    wake_watch(readers);
}
