/* Tracked byte ranges of one node: who changes where bytes live waits for everybody in the same place. */
#ifndef BG_RANGE_H
#define BG_RANGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BgRange BgRange;

/* One request's range: on the caller's stack, untouched by the caller from lock to unlock. */
struct BgRange {
  BgRange *prev, *next; /* in order of arrival */
  uint64_t start, last; /* inclusive, so that the last byte of the address space needs no special case */
  bool exclusive;
  bool waiting;
  unsigned blockers; /* ranges that came earlier and exclude this one */
  pthread_cond_t free;
};

/* All ranges, held and waiting. Zeroed memory is no valid state: init first. */
typedef struct BgRanges {
  pthread_mutex_t lock;
  BgRange *first, *latest;
} BgRanges;

void bg_ranges_init(BgRanges *ranges);
/* No range may be held or waited for. */
void bg_ranges_clear(BgRanges *ranges);

/* Takes [offset, offset+length) (cut at 2^64; UINT64_MAX from 0: the whole node; 0: nothing, never waits). Shared ranges overlap
 * freely, an exclusive one overlaps none. Ranges that exclude each other are granted in order of arrival, so
 * nobody starves. Waits until granted: for holders only, who finish without waiting for this caller. A thread that holds a
 * range takes no second one in the same BgRanges; across nodes, ranges are taken parents first. */
void bg_ranges_lock(BgRanges *ranges, BgRange *slot, uint64_t offset, uint64_t length, bool exclusive);

/* The same without waiting: false if it would have waited; then the slot is free. */
bool bg_ranges_trylock(BgRanges *ranges, BgRange *slot, uint64_t offset, uint64_t length, bool exclusive);

void bg_ranges_unlock(BgRanges *ranges, BgRange *slot);

#endif
