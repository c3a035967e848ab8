#include "job-events.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define PATIENCE_S 10

static void job_event(void *data, const BgJobEvent *event)
{
  static const char *const names[] = {
      [BG_JOB_EVENT_READY] = "READY",         [BG_JOB_EVENT_PENDING] = "PENDING",
      [BG_JOB_EVENT_COMPLETED] = "COMPLETED", [BG_JOB_EVENT_CANCELLED] = "CANCELLED",
      [BG_JOB_EVENT_ERROR] = "ERROR",
  };
  JobEvents *events = data;
  pthread_mutex_lock(&events->lock);
  if (events->text->len)
    g_string_append_c(events->text, ' ');
  g_string_append(events->text,
                  event->kind == BG_JOB_EVENT_STATUS ? bg_job_status_name(event->info->status) : names[event->kind]);
  pthread_cond_broadcast(&events->more);
  pthread_mutex_unlock(&events->lock);
}

const BgListener job_events_listener = {.job_event = job_event};

void job_events_init(JobEvents *events)
{
  pthread_mutex_init(&events->lock, NULL);
  pthread_cond_init(&events->more, NULL);
  events->text = g_string_new(NULL);
}

void job_events_clear(JobEvents *events)
{
  pthread_mutex_destroy(&events->lock);
  pthread_cond_destroy(&events->more);
  g_string_free(events->text, TRUE);
}

static bool has_word(const char *text, const char *word)
{
  g_auto(GStrv) words = g_strsplit(text, " ", -1);
  return g_strv_contains((const char *const *)words, word);
}

void job_events_wait(JobEvents *events, const char *word)
{
  struct timespec deadline;
  int result = 0;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += PATIENCE_S;
  pthread_mutex_lock(&events->lock);
  while (!has_word(events->text->str, word) && result != ETIMEDOUT)
    result = pthread_cond_timedwait(&events->more, &events->lock, &deadline);
  bool found = has_word(events->text->str, word);
  g_autofree char *text = g_strdup(events->text->str);
  pthread_mutex_unlock(&events->lock);
  cr_assert(found, "no '%s' in '%s'", word, text);
}

char *job_events_take(JobEvents *events)
{
  pthread_mutex_lock(&events->lock);
  char *text = g_strdup(events->text->str);
  g_string_truncate(events->text, 0);
  pthread_mutex_unlock(&events->lock);
  return text;
}
