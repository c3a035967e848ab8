/* Numbers that are the same for the same seed (splitmix64). */
#ifndef CRASH_RANDOM_H
#define CRASH_RANDOM_H

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* In [0, below). */
static inline uint64_t random_below(uint64_t *state, uint64_t below)
{
  return random_next(state) % below;
}

/* A seed of its own for each pair. */
static inline uint64_t random_mix(uint64_t a, uint64_t b)
{
  uint64_t state = a * UINT64_C(0xd6e8feb86659fd93) + b;
  return random_next(&state);
}

#endif
