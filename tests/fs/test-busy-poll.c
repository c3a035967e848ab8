#include "fs/busy-poll.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <unistd.h>

static int64_t now(void)
{
  return g_get_monotonic_time();
}

Test(busy_poll, sleeps_at_once_where_requests_are_rare)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  BgfsBusyPoll busy = {.possible = true};
  bgfs_busy_poll_end(&busy, now() - 1000 * 1000);
  bgfs_busy_poll_begin(&busy, ends[0]);
  cr_assert_not(busy.worthwhile);
  cr_assert_not(busy.looking);
}

Test(busy_poll, looks_where_the_last_one_came_soon)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  BgfsBusyPoll busy = {.possible = true};
  bgfs_busy_poll_end(&busy, now());
  cr_assert(busy.worthwhile);
  int64_t begun = bgfs_busy_poll_begin(&busy, ends[0]);
  cr_assert_geq(now() - begun, BGFS_BUSY_POLL_US, "gave up after %" G_GINT64_FORMAT " us", now() - begun);
  cr_assert_not(busy.looking);
}

Test(busy_poll, stops_looking_when_there_is_something)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  cr_assert_eq(write(ends[1], "x", 1), 1);
  BgfsBusyPoll busy = {.possible = true, .worthwhile = true};
  int64_t fastest = INT64_MAX;
  for (int i = 0; i < 1000; i++) { /* once at least without being interrupted */
    int64_t begun = bgfs_busy_poll_begin(&busy, ends[0]);
    fastest = MIN(fastest, now() - begun);
  }
  cr_assert_lt(fastest, BGFS_BUSY_POLL_US);
}

Test(busy_poll, one_at_a_time)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  BgfsBusyPoll busy = {.possible = true, .worthwhile = true, .looking = true};
  bgfs_busy_poll_begin(&busy, ends[0]);
  cr_assert(busy.looking, "the other one is still at it");
}

Test(busy_poll, never_on_one_processor)
{
  BgfsBusyPoll busy = {.possible = false};
  int64_t begun = bgfs_busy_poll_begin(&busy, -1);
  bgfs_busy_poll_end(&busy, begun);
  cr_assert_not(busy.worthwhile);
}
