#include "graph/below.h"

#include "fake-drivers.h"

#include <criterion/criterion.h>

TestSuite(below, .timeout = 20, .fini = fake_drivers_reset);

/* Two overlays on one base. */
static BgGraph *make(void)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  add_node(graph, "driver=cow,node-name=base,file.driver=mem,file.node-name=f,file.disk=f");
  add_node(graph, "driver=cow,node-name=a,backing=base,file.driver=mem,file.node-name=fa,file.disk=fa");
  add_node(graph, "driver=pass,node-name=p,file=base");
  add_node(graph, "driver=cow,node-name=b,backing=base,file=p");
  return graph;
}

static bool reaches(BgGraph *graph, const char *from, const char *to)
{
  return bg_node_reaches(bg_graph_find(graph, from), bg_graph_find(graph, to));
}

static guint count_below(BgGraph *graph, const char *name)
{
  BgNode *node = bg_graph_find(graph, name);
  bg_graph_lock(graph);
  g_autoptr(GPtrArray) nodes = bg_nodes_below(node);
  bg_graph_unlock(graph);
  return nodes->len;
}

Test(below, each_once)
{
  BgGraph *graph = make();
  cr_assert_eq(count_below(graph, "f"), 1);
  cr_assert_eq(count_below(graph, "a"), 4);
  cr_assert_eq(count_below(graph, "b"), 4, "base by two ways");
  cr_assert(bg_graph_close(graph, NULL));
}

Test(below, only_downwards)
{
  BgGraph *graph = make();
  cr_assert(reaches(graph, "a", "a"));
  cr_assert(reaches(graph, "a", "f"));
  cr_assert(reaches(graph, "b", "f"));
  cr_assert_not(reaches(graph, "base", "a"));
  cr_assert_not(reaches(graph, "a", "b"));
  cr_assert(bg_graph_close(graph, NULL));
}
