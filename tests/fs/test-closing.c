#include "fs/closing.h"

#include <criterion/criterion.h>
#include <pthread.h>

static int64_t soon(int64_t milliseconds)
{
  return g_get_monotonic_time() + milliseconds * 1000;
}

Test(closing, nobody_is_waited_for_when_nobody_closes, .timeout = 5)
{
  BgfsClosing *closing = bgfs_closing_new();
  int64_t start = g_get_monotonic_time();
  cr_assert_not(bgfs_closing_wait(closing, bgfs_closing_count(closing), soon(3000)));
  cr_assert_lt(g_get_monotonic_time() - start, G_USEC_PER_SEC / 2);
  bgfs_closing_free(closing);
}

static void *release_later(void *data)
{
  g_usleep(50 * 1000);
  bgfs_closing_end(data, "handle");
  return NULL;
}

Test(closing, a_handle_that_is_released_meanwhile_is_waited_for, .timeout = 5)
{
  BgfsClosing *closing = bgfs_closing_new();
  uint64_t count = bgfs_closing_count(closing);
  bgfs_closing_begin(closing, "handle");
  pthread_t thread;
  pthread_create(&thread, NULL, release_later, closing);
  cr_assert(bgfs_closing_wait(closing, count, soon(3000)));
  pthread_join(thread, NULL);
  bgfs_closing_free(closing);
}

Test(closing, what_left_before_the_wait_counts, .timeout = 5)
{
  BgfsClosing *closing = bgfs_closing_new();
  uint64_t count = bgfs_closing_count(closing);
  bgfs_closing_begin(closing, "handle");
  bgfs_closing_end(closing, "handle");
  cr_assert(bgfs_closing_wait(closing, count, soon(0)));
  bgfs_closing_free(closing);
}

Test(closing, a_handle_that_stays_open_is_given_up, .timeout = 5)
{
  BgfsClosing *closing = bgfs_closing_new();
  bgfs_closing_begin(closing, "handle");
  int64_t start = g_get_monotonic_time();
  cr_assert_not(bgfs_closing_wait(closing, 0, soon(3000)));
  int64_t waited = g_get_monotonic_time() - start;
  cr_assert_geq(waited, BGFS_CLOSING_WAIT * 9 / 10);
  cr_assert_lt(waited, 2 * BGFS_CLOSING_WAIT);
  cr_assert_not(bgfs_closing_wait(closing, 0, soon(3000)));
  bgfs_closing_free(closing);
}

Test(closing, the_deadline_holds, .timeout = 5)
{
  BgfsClosing *closing = bgfs_closing_new();
  bgfs_closing_begin(closing, "handle");
  int64_t start = g_get_monotonic_time();
  cr_assert_not(bgfs_closing_wait(closing, 0, soon(100)));
  cr_assert_lt(g_get_monotonic_time() - start, BGFS_CLOSING_WAIT / 2);
  bgfs_closing_free(closing);
}
