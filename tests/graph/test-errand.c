#include "graph/errand.h"

#include "fake-drivers.h"

#include <criterion/criterion.h>

TestSuite(errand, .timeout = 20, .fini = fake_drivers_reset);

static _Atomic unsigned begun, ended;
static _Atomic bool let_go;

static void stay(BgNode *node)
{
  (void)node;
  begun++;
  while (!let_go)
    g_usleep(1000);
  ended++;
}

Test(errand, runs_once_of_each_kind_at_a_time)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  BgNode *node = add_node(graph, "driver=mem,node-name=m,disk=m");
  for (int i = 0; i < 3; i++) {
    bg_errand_run(node, BG_ERRAND_FLUSH, stay);
    bg_errand_run(node, BG_ERRAND_SETTLE, stay);
  }
  while (begun < 2)
    g_usleep(1000);
  bg_graph_lock(graph);
  bool both = bg_errand_under_way(node, BG_ERRAND_FLUSH) && bg_errand_under_way(node, BG_ERRAND_SETTLE);
  bg_graph_unlock(graph);
  cr_assert(both);
  let_go = true;
  bg_errands_finish(graph);
  cr_assert_eq(ended, 2);
  bg_errand_run(node, BG_ERRAND_FLUSH, stay);
  bg_errands_finish(graph);
  cr_assert_eq(ended, 3);
  cr_assert(bg_graph_close(graph, NULL));
}

Test(errand, is_none_to_a_node_on_its_way_out)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  BgNode *node = add_node(graph, "driver=mem,node-name=m,disk=m");
  cr_assert(bg_graph_remove(graph, node, NULL));
  bg_errand_run(node, BG_ERRAND_FLUSH, stay);
  cr_assert_eq(begun, 0);
  cr_assert(bg_graph_close(graph, NULL));
}
