#include "graph/errand.h"

typedef struct Errand {
  BgNode *node;
  BgErrandKind kind;
  void (*run)(BgNode *node);
} Errand;

static void end(Errand *errand)
{
  BgGraph *graph = errand->node->graph;
  bg_graph_lock(graph);
  errand->node->errands_under_way &= ~(unsigned)errand->kind;
  graph->errands--;
  pthread_cond_broadcast(&graph->changed);
  bg_graph_unlock(graph);
  g_free(errand);
}

static void *run(void *data)
{
  Errand *errand = data;
  errand->run(errand->node);
  end(errand);
  return NULL;
}

static bool begin(BgNode *node, BgErrandKind kind)
{
  bg_graph_lock(node->graph);
  bool free = node->live && !node->leaving && !bg_errand_under_way(node, kind);
  if (free) {
    node->errands_under_way |= kind;
    node->graph->errands++;
  }
  bg_graph_unlock(node->graph);
  return free;
}

void bg_errand_run(BgNode *node, BgErrandKind kind, void (*errand)(BgNode *node))
{
  if (!begin(node, kind))
    return;
  Errand *one = g_new(Errand, 1);
  *one = (Errand){node, kind, errand};
  pthread_t thread;
  if (pthread_create(&thread, NULL, run, one) == 0)
    pthread_detach(thread);
  else
    end(one); /* another time */
}

bool bg_errand_under_way(const BgNode *node, BgErrandKind kind)
{
  return node->errands_under_way & kind;
}

void bg_errands_finish(BgGraph *graph)
{
  bg_graph_lock(graph);
  while (graph->errands)
    pthread_cond_wait(&graph->changed, &graph->control);
  bg_graph_unlock(graph);
}
