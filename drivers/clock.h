/* Waiting with a bound, on the monotonic clock: nobody sets that. */
#ifndef BG_CLOCK_H
#define BG_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* A condition whose pthread_cond_timedwait() takes the times below. */
void bg_clock_cond_init(pthread_cond_t *cond);

/* A time of g_get_monotonic_time(), µs. */
struct timespec bg_clock_at(int64_t monotonic);
/* Now and so much. */
struct timespec bg_clock_after(unsigned milliseconds);

#endif
