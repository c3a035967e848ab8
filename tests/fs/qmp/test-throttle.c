#include "fs/qmp/throttle.h"

#include <criterion/criterion.h>

enum { SECOND = 1000000 };

static BgfsQmpThrottle *throttle;
static int one, other; /* nodes */

static void set_up(void)
{
  throttle = bgfs_qmp_throttle_new(g_free);
}

static void tear_down(void)
{
  bgfs_qmp_throttle_free(throttle);
}

TestSuite(throttle, .init = set_up, .fini = tear_down, .timeout = 10);

static bool pass(const void *node, const char *text, int64_t now)
{
  char *item = g_strdup(text);
  bool passed = bgfs_qmp_throttle_pass(throttle, node, item, now);
  if (passed)
    g_free(item);
  return passed;
}

static void check_taken(int64_t now, const char *expected)
{
  g_autofree char *item = bgfs_qmp_throttle_take(throttle, now);
  cr_assert_eq(g_strcmp0(item, expected), 0, "%s", item);
}

Test(throttle, the_first_goes_at_once)
{
  cr_assert(pass(&one, "a", 5));
  cr_assert(pass(&other, "b", 6));
  cr_assert_eq(bgfs_qmp_throttle_due(throttle), INT64_MAX);
  check_taken(10 * SECOND, NULL);
}

Test(throttle, of_those_that_follow_the_last_one_goes_when_the_second_is_over)
{
  cr_assert(pass(&one, "a", 0));
  cr_assert_not(pass(&one, "b", 1));
  cr_assert_not(pass(&one, "c", SECOND - 1));
  cr_assert_eq(bgfs_qmp_throttle_due(throttle), SECOND);
  check_taken(SECOND - 1, NULL);
  check_taken(SECOND, "c");
  check_taken(SECOND, NULL);
}

Test(throttle, what_was_held_begins_a_second_of_its_own)
{
  cr_assert(pass(&one, "a", 0));
  cr_assert_not(pass(&one, "b", 1));
  check_taken(SECOND + 7, "b");
  cr_assert_not(pass(&one, "c", 2 * SECOND));
  cr_assert_eq(bgfs_qmp_throttle_due(throttle), 2 * SECOND + 7);
}

Test(throttle, after_a_quiet_second_it_is_as_at_first)
{
  cr_assert(pass(&one, "a", 0));
  cr_assert(pass(&one, "b", SECOND));
}

Test(throttle, nodes_wait_for_themselves_only)
{
  cr_assert(pass(&one, "a", 0));
  cr_assert(pass(&other, "x", 10));
  cr_assert_not(pass(&other, "y", 20));
  cr_assert_not(pass(&one, "b", 30));
  cr_assert_eq(bgfs_qmp_throttle_due(throttle), SECOND);
  check_taken(2 * SECOND, "b");
  check_taken(2 * SECOND, "y");
  check_taken(2 * SECOND, NULL);
}

Test(throttle, what_is_late_is_still_told_before_what_follows)
{
  cr_assert(pass(&one, "a", 0));
  cr_assert_not(pass(&one, "b", 1));
  cr_assert_not(pass(&one, "c", 3 * SECOND));
  check_taken(3 * SECOND, "c");
}
