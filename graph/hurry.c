#include "graph/hurry.h"

#include <time.h>

enum { INTERVAL = 500 /* ms */ };

struct BgHurry {
  BgGraph *graph;
  unsigned silence;
  pthread_t thread;
  BgAlarm alarm;
  GString *names; /* the thread's, until it is joined */
};

static void *run(void *data)
{
  struct BgHurry *hurry = data;
  bool rung;
  while (bg_alarm_wait(&hurry->alarm, g_get_monotonic_time() + INTERVAL * 1000, &rung)) {
    g_autofree char *names = bg_graph_abandon(hurry->graph, hurry->silence);
    if (names)
      g_string_append_printf(hurry->names, "%s%s", hurry->names->len ? ", " : "", names);
  }
  return NULL;
}

static void hurry_free(struct BgHurry *hurry)
{
  bg_alarm_clear(&hurry->alarm);
  g_string_free(hurry->names, TRUE);
  g_free(hurry);
}

void bg_graph_hurry(BgGraph *graph, unsigned silence)
{
  struct BgHurry *hurry = g_new0(struct BgHurry, 1);
  hurry->graph = graph;
  hurry->silence = silence;
  hurry->names = g_string_new(NULL);
  bg_alarm_init(&hurry->alarm);
  bg_graph_lock(graph);
  bool first = !graph->hurry && pthread_create(&hurry->thread, NULL, run, hurry) == 0;
  if (first)
    graph->hurry = hurry;
  bg_graph_unlock(graph);
  if (!first)
    hurry_free(hurry);
}

char *bg_hurry_end(BgGraph *graph)
{
  bg_graph_lock(graph);
  struct BgHurry *hurry = g_steal_pointer(&graph->hurry);
  bg_graph_unlock(graph);
  if (!hurry)
    return NULL;
  bg_alarm_stop(&hurry->alarm);
  pthread_join(hurry->thread, NULL);
  char *names = hurry->names->len ? g_strdup(hurry->names->str) : NULL;
  hurry_free(hurry);
  return names;
}
