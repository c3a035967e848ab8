#include "fs/busy-poll.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <unistd.h>

static int64_t now(void)
{
  return g_get_monotonic_time();
}

/* How long it looked where nothing comes, in µs. */
static int64_t look_in_vain(BgfsBusyPoll *busy)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  int64_t begun = now();
  bgfs_busy_poll(busy, ends[0], begun);
  return now() - begun;
}

Test(busy_poll, looks_where_the_last_one_came_soon)
{
  BgfsBusyPoll busy = {.possible = true};
  bgfs_busy_poll_came(&busy, 2 * BGFS_BUSY_POLL_US - 1);
  cr_assert(busy.worthwhile);
  cr_assert_geq(look_in_vain(&busy), BGFS_BUSY_POLL_US);
  cr_assert_not(busy.looking);
}

/* Looks that are over at once, now and then at least: the machine may be busy. */
static bool is_ever_quick(BgfsBusyPoll *busy)
{
  int64_t fastest = INT64_MAX;
  for (int i = 0; i < 1000; i++)
    fastest = MIN(fastest, look_in_vain(busy));
  return fastest < BGFS_BUSY_POLL_US;
}

Test(busy_poll, sleeps_at_once_where_requests_are_rare)
{
  BgfsBusyPoll busy = {.possible = true, .worthwhile = true};
  bgfs_busy_poll_came(&busy, 2 * BGFS_BUSY_POLL_US);
  cr_assert_not(busy.worthwhile);
  cr_assert(is_ever_quick(&busy));
}

Test(busy_poll, stops_looking_when_there_is_something)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  cr_assert_eq(write(ends[1], "x", 1), 1);
  BgfsBusyPoll busy = {.possible = true, .worthwhile = true};
  int64_t fastest = INT64_MAX;
  for (int i = 0; i < 1000; i++) { /* once at least without being interrupted */
    int64_t begun = now();
    bgfs_busy_poll(&busy, ends[0], begun);
    fastest = MIN(fastest, now() - begun);
  }
  cr_assert_lt(fastest, BGFS_BUSY_POLL_US);
}

Test(busy_poll, one_at_a_time)
{
  BgfsBusyPoll busy = {.possible = true, .worthwhile = true, .looking = true};
  cr_assert(is_ever_quick(&busy));
  cr_assert(busy.looking, "the other one is still at it");
}

Test(busy_poll, never_on_one_processor)
{
  BgfsBusyPoll busy;
  bgfs_busy_poll_init(&busy, 1);
  busy.worthwhile = true;
  cr_assert(is_ever_quick(&busy));
}
