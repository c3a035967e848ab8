/* Where the threads of a ring run. The kernel hands each request to the queue of the processor that its caller runs on.
 *
 * Somebody who asks one thing at a time is served soonest on his own processor: it has nothing else to do, and waking another one takes longer than
 * most answers. Somebody who asks many things at once keeps his processor busy with that, and is served sooner by those that rest. So a thread
 * stays on its queue's processor while it serves alone, and else runs anywhere. Where most queues have requests, and not from one caller, no processor
 * rests: then all stay. */
#ifndef BGFS_RING_PLACE_H
#define BGFS_RING_PLACE_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

/* A processor's cache line: what different processors write should not share one. */
#define BGFS_RING_LINE 64

/* Of all queues together. */
typedef struct BgfsRingPlaces {
  unsigned processors;
  cpu_set_t allowed; /* where the process may run */
  _Alignas(BGFS_RING_LINE) atomic_uint under_way; /* queues whose requests are being carried out */
  atomic_uint caller; /* of the last one */
} BgfsRingPlaces;

/* Of one queue: its threads share it. */
typedef struct BgfsRingPlace {
  _Alignas(BGFS_RING_LINE) BgfsRingPlaces *places;
  unsigned processor;
  bool open;             /* its threads run anywhere in any case: that processor is none of ours, or the only one */
  atomic_uint under_way; /* requests */
  atomic_uint bustle;    /* how often of late most queues had requests */
} BgfsRingPlace;

/* Of one thread; zeroed but for the place. */
typedef struct BgfsRingStand {
  BgfsRingPlace *place;
  atomic_uint alone; /* how often of late it served alone, and nobody waited */
  bool home;         /* it stays on the queue's processor */
} BgfsRingStand;

void bgfs_ring_places_init(BgfsRingPlaces *places);
void bgfs_ring_place_init(BgfsRingPlace *place, BgfsRingPlaces *places, unsigned processor);

/* The calling thread, whose stand it is, begins with a request of that caller, which was waiting already (`at_once`) or not: from
 * now on it runs where it had better. */
void bgfs_ring_stand_begin(BgfsRingStand *stand, unsigned caller, bool at_once);
void bgfs_ring_stand_end(BgfsRingStand *stand);

#endif
