#include "graph/hurry.h"

#include "fake-drivers.h"
#include "fake-silent.h"
#include "scratch.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(hurry, .timeout = 20, .fini = fake_drivers_reset);

Test(hurry, makes_who_waits_give_up)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  BgUser *user = scratch_reader(add_node(graph, "driver=silent,node-name=s"));
  SilentRead read;
  silent_read_start(&read, user, 1);
  bg_graph_hurry(graph, 0);
  bg_graph_hurry(graph, 0); /* there is one */
  cr_assert_eq(silent_read_end(&read), -EIO);
  g_autofree char *names = bg_hurry_end(graph);
  cr_assert_str_eq(names, "'s'");
  cr_assert_null(bg_hurry_end(graph));
  bg_user_free(user);
  cr_assert(bg_graph_close(graph, NULL));
}

Test(hurry, names_nobody_where_nobody_waited)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  add_node(graph, "driver=silent,node-name=s");
  bg_graph_hurry(graph, 0);
  cr_assert_null(bg_hurry_end(graph));
  cr_assert(bg_graph_close(graph, NULL));
}
