/* What was seen of late, as a number that goes up and down with it, and so does not turn at once. Any thread: what two note at the same time
 * may count once. */
#ifndef BGFS_TENDENCY_H
#define BGFS_TENDENCY_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>

/* How far each sighting, and each lack of one, moves it; from where on it is much, and how high it goes. */
typedef struct BgfsTendency {
  unsigned up, down, much, most;
} BgfsTendency;

static inline unsigned bgfs_tendency_of(const atomic_uint *value)
{
  return atomic_load_explicit(value, memory_order_relaxed);
}

static inline void bgfs_tendency_note(atomic_uint *value, const BgfsTendency *tendency, bool seen)
{
  unsigned before = bgfs_tendency_of(value);
  unsigned now = seen ? MIN(before + tendency->up, tendency->most) : before - MIN(before, tendency->down);
  if (now != before)
    atomic_store_explicit(value, now, memory_order_relaxed);
}

static inline bool bgfs_tendency_is_much(const atomic_uint *value, const BgfsTendency *tendency)
{
  return bgfs_tendency_of(value) >= tendency->much;
}

#endif
