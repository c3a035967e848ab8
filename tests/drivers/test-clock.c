#include "drivers/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glib.h>

TestSuite(clock, .timeout = 20);

static int64_t microseconds(struct timespec at)
{
  return (int64_t)at.tv_sec * G_USEC_PER_SEC + at.tv_nsec / 1000;
}

Test(clock, keeps_nanoseconds_within_a_second)
{
  struct timespec at = bg_clock_at(INT64_C(3999999));
  cr_assert_eq(at.tv_sec, 3);
  cr_assert_eq(at.tv_nsec, 999999000);
  at = bg_clock_at(4000000);
  cr_assert_eq(at.tv_sec, 4);
  cr_assert_eq(at.tv_nsec, 0);
}

Test(clock, counts_from_now)
{
  int64_t before = g_get_monotonic_time();
  int64_t after = microseconds(bg_clock_after(1999));
  cr_assert_geq(after, before + 1999000);
  cr_assert_leq(after, g_get_monotonic_time() + 1999000);
}

Test(clock, bounds_a_wait_for_a_condition)
{
  pthread_cond_t cond;
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  bg_clock_cond_init(&cond);
  int64_t before = g_get_monotonic_time();
  struct timespec until = bg_clock_after(20);
  int result = 0;
  pthread_mutex_lock(&lock);
  while (result == 0)
    result = pthread_cond_timedwait(&cond, &lock, &until);
  pthread_mutex_unlock(&lock);
  pthread_cond_destroy(&cond);
  cr_assert_eq(result, ETIMEDOUT);
  cr_assert_geq(g_get_monotonic_time(), before + 20000);
}
