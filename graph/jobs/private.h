/* What job.c, run.c and registry.c share. */
#ifndef BG_JOB_PRIVATE_H
#define BG_JOB_PRIVATE_H

#include "graph/jobs/group.h"
#include "graph/jobs/registry.h"
#include "graph/jobs/work.h"
#include "graph/node.h"

struct BgJob {
  atomic_uint references;
  BgGraph *graph; /* valid while the thread runs */
  char *id;
  const BgJobKind *kind;
  void *work;                       /* the thread's */
  void (*before_pause)(void *data); /* the thread's; NULL: nothing */
  void *before_pause_data;
  pthread_t thread;
  bool manual_finalize, manual_dismiss;
  BgJobGroup *group; /* NULL: it depends on no others */

  pthread_mutex_t lock;
  pthread_cond_t wake; /* on the monotonic clock: something below was asked for */

  /* Under `lock`; what is asked for is written by verbs, the rest by the thread. */
  BgJobStatus status;
  bool pause_asked, finalize_asked, dismiss_asked, complete_asked, end_asked;
  bool launched; /* the thread may go on; before, it does not look at `work` */
  bool dropped;  /* it does not begin to work */
  bool cancelled;
  bool finishing; /* cancel and pause come too late, and the speed does not count */
  bool ready;
  bool asleep;
  int stopped_by;
  uint64_t speed;
  int64_t due; /* monotonic µs from which on the speed allows for more work; 0: none was done */
  uint64_t current, total;
  GError *error;
};

/* As cancel with force, where the status still takes that, and dismiss: the graph ends. */
void bg_job_shut_down(BgJob *job);

/* The thread; joined by the registry. */
void *bg_job_run(void *job);

#endif
