#include "fs/pool.h"

#include <criterion/criterion.h>
#include <stdatomic.h>

TestSuite(pool, .timeout = 30);

enum { THREADS = 16 };

typedef struct Meeting {
  BgfsTask task;
  pthread_barrier_t *barrier;
} Meeting;

static void meet(BgfsTask *task)
{
  Meeting *meeting = (Meeting *)task;
  pthread_barrier_wait(meeting->barrier);
  g_free(meeting);
}

/* Each waits for all others: with fewer threads than tasks they would wait for ever. */
Test(pool, as_many_threads_as_tasks)
{
  BgfsPool pool;
  pthread_barrier_t barrier;
  bgfs_pool_init(&pool, THREADS);
  pthread_barrier_init(&barrier, NULL, THREADS);
  for (int i = 0; i < THREADS; i++) {
    Meeting *meeting = g_new(Meeting, 1);
    *meeting = (Meeting){{meet}, &barrier};
    bgfs_pool_submit(&pool, &meeting->task);
  }
  bgfs_pool_clear(&pool);
  pthread_barrier_destroy(&barrier);
}

typedef struct Count {
  BgfsTask task;
  atomic_int *now, *most, *all;
} Count;

static void count(BgfsTask *task)
{
  Count *c = (Count *)task;
  int now = atomic_fetch_add(c->now, 1) + 1, most = atomic_load(c->most);
  while (now > most && !atomic_compare_exchange_weak(c->most, &most, now))
    ;
  g_usleep(500);
  atomic_fetch_sub(c->now, 1);
  atomic_fetch_add(c->all, 1);
  g_free(c);
}

Test(pool, bounded_and_all_is_done)
{
  BgfsPool pool;
  atomic_int now = 0, most = 0, all = 0;
  bgfs_pool_init(&pool, THREADS);
  for (int i = 0; i < 200; i++) {
    Count *c = g_new(Count, 1);
    *c = (Count){{count}, &now, &most, &all};
    bgfs_pool_submit(&pool, &c->task);
  }
  bgfs_pool_finish(&pool);
  cr_assert_eq(atomic_load(&all), 200);
  cr_assert_leq(atomic_load(&most), THREADS);
  cr_assert_eq(pool.threads, 0);
  bgfs_pool_clear(&pool);
}
