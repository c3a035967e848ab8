/* Wakes one sleeping thread: the monitor waits here, changes ring. */
#ifndef BG_ALARM_H
#define BG_ALARM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BgAlarm {
  pthread_mutex_t lock;
  pthread_cond_t rung_or_stopped;
  bool rung, stopped;
} BgAlarm;

void bg_alarm_init(BgAlarm *alarm);
void bg_alarm_clear(BgAlarm *alarm);

/* Sleeps until `when` (monotonic, µs), a ring, or the stop. *rung: whether it was a ring, which is used up. False: stopped. */
bool bg_alarm_wait(BgAlarm *alarm, int64_t when, bool *rung);

/* Any thread, also under locks; never waits for the sleeper. A ring while nobody sleeps ends the next sleep at once. */
void bg_alarm_ring(BgAlarm *alarm);
void bg_alarm_stop(BgAlarm *alarm);

#endif
