#include "drivers/clock.h"

#include <glib.h>

void bg_clock_cond_init(pthread_cond_t *cond)
{
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(cond, &attr);
  pthread_condattr_destroy(&attr);
}

struct timespec bg_clock_at(int64_t monotonic)
{
  return (struct timespec){monotonic / G_USEC_PER_SEC, monotonic % G_USEC_PER_SEC * 1000};
}

struct timespec bg_clock_after(unsigned milliseconds)
{
  return bg_clock_at(g_get_monotonic_time() + (int64_t)milliseconds * 1000);
}
