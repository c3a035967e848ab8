#include "fs/closing.h"

#include "drivers/clock.h"

#include <pthread.h>

struct BgfsClosing {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  GHashTable *since; /* handle to gint64 *, monotonic µs */
  uint64_t gone;
};

BgfsClosing *bgfs_closing_new(void)
{
  BgfsClosing *closing = g_new0(BgfsClosing, 1);
  bg_clock_cond_init(&closing->changed);
  pthread_mutex_init(&closing->lock, NULL);
  closing->since = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  return closing;
}

void bgfs_closing_free(BgfsClosing *closing)
{
  if (!closing)
    return;
  g_hash_table_unref(closing->since);
  pthread_cond_destroy(&closing->changed);
  pthread_mutex_destroy(&closing->lock);
  g_free(closing);
}

void bgfs_closing_begin(BgfsClosing *closing, const void *handle)
{
  int64_t *now = g_new(int64_t, 1);
  *now = g_get_monotonic_time();
  pthread_mutex_lock(&closing->lock);
  g_hash_table_replace(closing->since, (gpointer)handle, now);
  pthread_mutex_unlock(&closing->lock);
}

void bgfs_closing_end(BgfsClosing *closing, const void *handle)
{
  pthread_mutex_lock(&closing->lock);
  g_hash_table_remove(closing->since, handle);
  closing->gone++;
  pthread_cond_broadcast(&closing->changed);
  pthread_mutex_unlock(&closing->lock);
}

uint64_t bgfs_closing_count(BgfsClosing *closing)
{
  pthread_mutex_lock(&closing->lock);
  uint64_t gone = closing->gone;
  pthread_mutex_unlock(&closing->lock);
  return gone;
}

/* Until when a handle that is closing is waited for; 0: there is none. Under the lock. */
static int64_t latest(BgfsClosing *closing)
{
  int64_t until = 0;
  GHashTableIter iter;
  gpointer since;
  g_hash_table_iter_init(&iter, closing->since);
  while (g_hash_table_iter_next(&iter, NULL, &since))
    until = MAX(until, *(int64_t *)since + BGFS_CLOSING_WAIT);
  return until;
}

bool bgfs_closing_wait(BgfsClosing *closing, uint64_t count, int64_t deadline)
{
  pthread_mutex_lock(&closing->lock);
  while (closing->gone <= count) {
    int64_t until = MIN(latest(closing), deadline);
    if (until <= g_get_monotonic_time())
      break;
    struct timespec at = bg_clock_at(until);
    pthread_cond_timedwait(&closing->changed, &closing->lock, &at);
  }
  bool gone = closing->gone > count;
  pthread_mutex_unlock(&closing->lock);
  return gone;
}
