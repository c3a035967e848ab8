/* What jobs tell, kept for tests. */
#ifndef JOB_EVENTS_H
#define JOB_EVENTS_H

#include "graph/jobs/job.h"

#include <pthread.h>

typedef struct JobEvents {
  pthread_mutex_t lock;
  pthread_cond_t more;
  GString *text; /* "created running … COMPLETED concluded null": states, and block-job events in capitals */
} JobEvents;

/* With job_event(); its data is a JobEvents. */
extern const BgListener job_events_listener;

void job_events_init(JobEvents *events);
void job_events_clear(JobEvents *events);

/* Waits (10 s at most, then the test fails) until that word has come. */
void job_events_wait(JobEvents *events, const char *word);
/* What came since the last call. Caller frees. */
char *job_events_take(JobEvents *events);

#endif
