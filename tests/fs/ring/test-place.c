#include "fs/ring/place.h"

#include <criterion/criterion.h>
#include <glib.h>

enum { MANY = 200, CALLER = 100, OTHER = 200 };

static BgfsRingPlaces places;
static BgfsRingPlace here, there;

/* As on a machine with two processors, of which this one has the first at least. */
static void set_up(void)
{
  bgfs_ring_places_init(&places);
  cr_assert_gt(places.processors, 0);
  unsigned first = 0;
  while (!CPU_ISSET(first, &places.allowed))
    first++;
  places.processors = 2;
  bgfs_ring_place_init(&here, &places, first);
  bgfs_ring_place_init(&there, &places, first);
}

TestSuite(ring_place, .init = set_up, .timeout = 30);

static unsigned runs_on(void)
{
  cpu_set_t now;
  cr_assert_eq(sched_getaffinity(0, sizeof now, &now), 0);
  return CPU_COUNT(&now);
}

static void serve(BgfsRingStand *stand, unsigned caller, bool at_once)
{
  bgfs_ring_stand_begin(stand, caller, at_once);
  bgfs_ring_stand_end(stand);
}

static void serve_many(BgfsRingStand *stand, bool at_once)
{
  for (int i = 0; i < MANY; i++)
    serve(stand, CALLER, at_once);
}

Test(ring_place, who_serves_alone_stays_and_leaves_when_requests_wait)
{
  BgfsRingStand stand = {.place = &here};
  serve(&stand, CALLER, false);
  cr_assert_not(stand.home, "not after one request");
  serve_many(&stand, false);
  cr_assert(stand.home);
  cr_assert_eq(runs_on(), 1);
  serve_many(&stand, true);
  cr_assert_not(stand.home);
  cr_assert_eq(runs_on(), (unsigned)CPU_COUNT(&places.allowed));
}

Test(ring_place, who_came_beside_another_one_does_not_stay)
{
  BgfsRingStand first = {.place = &here}, second = {.place = &here};
  for (int i = 0; i < MANY; i++) {
    bgfs_ring_stand_begin(&first, CALLER, false);
    serve(&second, CALLER, false);
    bgfs_ring_stand_end(&first);
  }
  cr_assert(first.home);
  cr_assert_not(second.home);
}

Test(ring_place, all_stay_where_several_callers_keep_most_queues_busy)
{
  BgfsRingStand first = {.place = &here}, second = {.place = &here}, other = {.place = &there};
  for (int i = 0; i < MANY; i++) {
    bgfs_ring_stand_begin(&other, OTHER, false);
    bgfs_ring_stand_begin(&first, CALLER, true);
    bgfs_ring_stand_begin(&second, OTHER, true);
    bgfs_ring_stand_end(&second);
    bgfs_ring_stand_end(&first);
    bgfs_ring_stand_end(&other);
  }
  cr_assert(first.home && second.home);
}

Test(ring_place, one_caller_on_two_processors_is_not_several)
{
  BgfsRingStand stand = {.place = &here}, other = {.place = &there};
  for (int i = 0; i < MANY; i++) {
    bgfs_ring_stand_begin(&other, CALLER, true);
    serve(&stand, CALLER, true);
    bgfs_ring_stand_end(&other);
  }
  cr_assert_not(stand.home);
}

Test(ring_place, of_a_processor_that_is_not_ours_threads_run_anywhere)
{
  BgfsRingPlace foreign;
  bgfs_ring_place_init(&foreign, &places, CPU_SETSIZE - 1);
  BgfsRingStand stand = {.place = &foreign};
  serve_many(&stand, false);
  cr_assert_not(stand.home);
  cr_assert_eq(places.under_way, 0);
}

Test(ring_place, what_has_ended_is_counted_out)
{
  BgfsRingStand stand = {.place = &here};
  serve_many(&stand, false);
  cr_assert_eq(here.under_way, 0);
  cr_assert_eq(places.under_way, 0);
}
