#include "graph/alarm.h"

#include "drivers/clock.h"

#include <errno.h>

void bg_alarm_init(BgAlarm *alarm)
{
  pthread_mutex_init(&alarm->lock, NULL);
  bg_clock_cond_init(&alarm->rung_or_stopped);
  alarm->rung = alarm->stopped = false;
}

void bg_alarm_clear(BgAlarm *alarm)
{
  pthread_cond_destroy(&alarm->rung_or_stopped);
  pthread_mutex_destroy(&alarm->lock);
}

bool bg_alarm_wait(BgAlarm *alarm, int64_t when, bool *rung)
{
  struct timespec at = bg_clock_at(when);
  pthread_mutex_lock(&alarm->lock);
  while (!alarm->stopped && !alarm->rung)
    if (pthread_cond_timedwait(&alarm->rung_or_stopped, &alarm->lock, &at) == ETIMEDOUT)
      break;
  *rung = alarm->rung;
  alarm->rung = false;
  bool on = !alarm->stopped;
  pthread_mutex_unlock(&alarm->lock);
  return on;
}

void bg_alarm_ring(BgAlarm *alarm)
{
  pthread_mutex_lock(&alarm->lock);
  alarm->rung = true;
  pthread_cond_signal(&alarm->rung_or_stopped);
  pthread_mutex_unlock(&alarm->lock);
}

void bg_alarm_stop(BgAlarm *alarm)
{
  pthread_mutex_lock(&alarm->lock);
  alarm->stopped = true;
  pthread_cond_signal(&alarm->rung_or_stopped);
  pthread_mutex_unlock(&alarm->lock);
}
