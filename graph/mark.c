#include "graph/mark.h"

#include "drivers/clock.h"

#include <errno.h>

bool bg_mark_take(BgNode *node)
{
  struct timespec deadline = bg_clock_after(BG_MARK_TIMEOUT_MS);
  while (node->changing)
    if (pthread_cond_timedwait(&node->graph->changed, &node->graph->control, &deadline) == ETIMEDOUT)
      return false;
  node->changing = true;
  return true;
}

void bg_mark_drop(BgNode *node)
{
  node->changing = false;
  pthread_cond_broadcast(&node->graph->changed);
}

bool bg_mark_wait_structure(BgGraph *graph, bool bounded)
{
  struct timespec deadline = bg_clock_after(BG_MARK_TIMEOUT_MS);
  while (graph->restructured)
    if (!bounded)
      pthread_cond_wait(&graph->changed, &graph->control);
    else if (pthread_cond_timedwait(&graph->changed, &graph->control, &deadline) == ETIMEDOUT)
      return false;
  return true;
}
