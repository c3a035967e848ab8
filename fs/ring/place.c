#include "fs/ring/place.h"

#include "fs/tendency.h"

static const BgfsTendency alone = {1, 8, 32, 64};
static const BgfsTendency bustle = {1, 1, 32, 64};

void bgfs_ring_places_init(BgfsRingPlaces *places)
{
  *places = (BgfsRingPlaces){0};
  if (sched_getaffinity(0, sizeof places->allowed, &places->allowed) == 0)
    places->processors = CPU_COUNT(&places->allowed);
}

void bgfs_ring_place_init(BgfsRingPlace *place, BgfsRingPlaces *places, unsigned processor)
{
  bool ours = places->processors > 1 && processor < CPU_SETSIZE && CPU_ISSET(processor, &places->allowed);
  *place = (BgfsRingPlace){.places = places, .processor = processor, .open = !ours};
}

/* Where that is refused the thread stays where it is: that is only slower. */
static void settle(const BgfsRingPlace *place, bool home)
{
  cpu_set_t processors = place->places->allowed;
  if (home) {
    CPU_ZERO(&processors);
    CPU_SET(place->processor, &processors);
  }
  sched_setaffinity(0, sizeof processors, &processors);
}

/* Whether no other thread of the queue is at anything. */
static bool count_in(BgfsRingPlace *place, unsigned caller)
{
  BgfsRingPlaces *places = place->places;
  bool first = atomic_fetch_add(&place->under_way, 1) == 0;
  unsigned queues = first ? atomic_fetch_add(&places->under_way, 1) + 1 : bgfs_tendency_of(&places->under_way);
  bool another = atomic_exchange(&places->caller, caller) != caller; /* one alone may go from processor to processor */
  bgfs_tendency_note(&place->bustle, &bustle, another && queues > places->processors / 2);
  return first;
}

static bool belongs_home(const BgfsRingStand *stand)
{
  return bgfs_tendency_is_much(&stand->alone, &alone) || bgfs_tendency_is_much(&stand->place->bustle, &bustle);
}

void bgfs_ring_stand_begin(BgfsRingStand *stand, unsigned caller, bool at_once)
{
  if (stand->place->open)
    return;
  bgfs_tendency_note(&stand->alone, &alone, count_in(stand->place, caller) && !at_once);
  bool home = belongs_home(stand);
  if (home != stand->home)
    settle(stand->place, home);
  stand->home = home;
}

void bgfs_ring_stand_end(BgfsRingStand *stand)
{
  BgfsRingPlace *place = stand->place;
  if (!place->open && atomic_fetch_sub(&place->under_way, 1) == 1)
    atomic_fetch_sub(&place->places->under_way, 1);
}
