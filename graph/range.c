#include "graph/range.h"

#include <glib.h>

void bg_ranges_init(BgRanges *ranges)
{
  *ranges = (BgRanges){0};
  pthread_mutex_init(&ranges->lock, NULL);
}

void bg_ranges_clear(BgRanges *ranges)
{
  g_assert(!ranges->first);
  pthread_mutex_destroy(&ranges->lock);
}

static bool excludes(const BgRange *a, const BgRange *b)
{
  return (a->exclusive || b->exclusive) && a->start <= b->last && b->start <= a->last;
}

/* An empty range ends before it starts, at the far end, where nothing but itself overlaps: see excludes(). */
static void set_up(BgRange *slot, uint64_t offset, uint64_t length, bool exclusive)
{
  *slot = (BgRange){.start = offset, .last = UINT64_MAX, .exclusive = exclusive};
  if (length == 0)
    slot->exclusive = false, slot->start = UINT64_MAX, slot->last = 0;
  else if (length - 1 <= UINT64_MAX - offset)
    slot->last = offset + (length - 1);
}

static unsigned count_blockers(const BgRanges *ranges, const BgRange *slot)
{
  unsigned blockers = 0;
  for (const BgRange *other = ranges->first; other; other = other->next)
    blockers += excludes(other, slot);
  return blockers;
}

static void append(BgRanges *ranges, BgRange *slot)
{
  slot->prev = ranges->latest;
  if (slot->prev)
    slot->prev->next = slot;
  else
    ranges->first = slot;
  ranges->latest = slot;
}

static void detach(BgRanges *ranges, BgRange *slot)
{
  if (slot->prev)
    slot->prev->next = slot->next;
  else
    ranges->first = slot->next;
  if (slot->next)
    slot->next->prev = slot->prev;
  else
    ranges->latest = slot->prev;
}

static void wait_until_free(BgRanges *ranges, BgRange *slot)
{
  slot->waiting = true;
  pthread_cond_init(&slot->free, NULL);
  while (slot->blockers > 0)
    pthread_cond_wait(&slot->free, &ranges->lock);
  pthread_cond_destroy(&slot->free);
  slot->waiting = false;
}

void bg_ranges_lock(BgRanges *ranges, BgRange *slot, uint64_t offset, uint64_t length, bool exclusive)
{
  set_up(slot, offset, length, exclusive);
  pthread_mutex_lock(&ranges->lock);
  slot->blockers = count_blockers(ranges, slot);
  append(ranges, slot);
  if (slot->blockers > 0)
    wait_until_free(ranges, slot);
  pthread_mutex_unlock(&ranges->lock);
}

bool bg_ranges_trylock(BgRanges *ranges, BgRange *slot, uint64_t offset, uint64_t length, bool exclusive)
{
  set_up(slot, offset, length, exclusive);
  pthread_mutex_lock(&ranges->lock);
  bool free = count_blockers(ranges, slot) == 0;
  if (free)
    append(ranges, slot);
  pthread_mutex_unlock(&ranges->lock);
  return free;
}

/* Only later arrivals can have counted this range, and what they counted is final: who comes earlier never waits for them. */
void bg_ranges_unlock(BgRanges *ranges, BgRange *slot)
{
  pthread_mutex_lock(&ranges->lock);
  g_assert(!slot->waiting && slot->blockers == 0);
  for (BgRange *later = slot->next; later; later = later->next)
    if (excludes(slot, later) && --later->blockers == 0)
      pthread_cond_signal(&later->free);
  detach(ranges, slot);
  pthread_mutex_unlock(&ranges->lock);
}
