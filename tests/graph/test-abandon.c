#include "graph/abandon.h"

#include "fake-drivers.h"
#include "fake-silent.h"
#include "scratch.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(abandon, .timeout = 20, .fini = fake_drivers_reset);

Test(abandon, knows_who_may_wait)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  BgNode *silent = add_node(graph, "driver=silent,node-name=s");
  BgNode *above = add_node(graph, "driver=pass,node-name=p,file=s");
  BgNode *other = add_node(graph, "driver=pass,node-name=q,file.driver=mem,file.disk=m");
  cr_assert(bg_node_may_wait(silent));
  cr_assert(bg_node_may_wait(above));
  cr_assert_not(bg_node_may_wait(other));
  cr_assert(bg_graph_close(graph, NULL));
}

/* Who waits elsewhere goes on waiting. */
Test(abandon, ends_the_waits_behind_a_gate)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  BgUser *one = scratch_reader(add_node(graph, "driver=pass,node-name=p,file.driver=silent,file.node-name=s"));
  BgUser *two = scratch_reader(add_node(graph, "driver=silent,node-name=t"));
  SilentRead first, second;
  silent_read_start(&first, one, 1);
  silent_read_start(&second, two, 2);
  bg_abandon_inside(graph, &one->gate, 0);
  cr_assert_eq(silent_read_end(&first), -EIO);
  cr_assert_not(second.ended);
  g_autofree char *names = bg_graph_abandon(graph, 0);
  cr_assert_str_eq(names, "'t'");
  cr_assert_eq(silent_read_end(&second), -EIO);
  cr_assert_null(bg_graph_abandon(graph, 0), "nobody waits any more");
  bg_user_free(one);
  bg_user_free(two);
  cr_assert(bg_graph_close(graph, NULL));
}
