#include "graph/append.h"

#include "fake-drivers.h"
#include "graph/node.h"
#include "graph/transaction.h"
#include "scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(append, .timeout = 20, .fini = fake_drivers_reset);

static bool append(BgGraph *graph, BgNode *node, BgNode *overlay, GError **error)
{
  BgAppend both = {node, overlay};
  g_autoptr(BgTransaction) transaction = bg_transaction_new(graph, false);
  return bg_transaction_add_append(transaction, &both, error) && bg_transaction_run(transaction, error);
}

static void assert_refused(BgGraph *graph, BgNode *node, BgNode *overlay, int code, const char *text)
{
  g_autoptr(GError) error = NULL;
  cr_assert_not(append(graph, node, overlay, &error));
  cr_assert_eq(error->code, code, "%s", error->message);
  cr_assert_not_null(strstr(error->message, text), "%s", error->message);
}

Test(append, parents_stand_on_the_overlay_then)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  BgNode *node = add_node(graph, "driver=cow,node-name=n,file.driver=mem,file.disk=n");
  BgNode *parent = add_node(graph, "driver=pass,node-name=p,file=n");
  BgNode *overlay = add_node(graph, "driver=cow,node-name=o,backing=,file.driver=mem,file.disk=o");
  BgUser *reader = scratch_reader(parent);
  cr_assert(append(graph, node, overlay, NULL));
  cr_assert_eq(bg_node_edge(parent, "file")->hold.node, overlay);
  cr_assert_eq(bg_node_edge(overlay, "backing")->hold.node, node);
  bg_user_free(reader);
  cr_assert(bg_graph_close(graph, NULL));
}

Test(append, refusals_change_nothing)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  BgNode *node = add_node(graph, "driver=cow,node-name=n,file.driver=mem,file.disk=n");
  BgNode *overlay = add_node(graph, "driver=cow,node-name=o,backing=,file.driver=mem,file.disk=o");
  BgNode *plain = add_node(graph, "driver=pass,node-name=p,file.driver=mem,file.disk=p");
  BgNode *full = add_node(graph, "driver=cow,node-name=f,file.driver=mem,file.disk=f,backing=p");
  assert_refused(graph, node, plain, EINVAL, "does not support backing images");
  assert_refused(graph, node, full, EINVAL, "already has a backing image");
  assert_refused(graph, overlay, overlay, EINVAL, "cycle");
  BgUser *reader = scratch_reader(overlay);
  assert_refused(graph, node, overlay, EBUSY, "file 'o'");
  bg_user_free(reader);
  cr_assert_null(bg_node_edge(overlay, "backing")->hold.node);
  BgUser *writer = scratch_writer(node);
  reader = scratch_reader(add_node(graph, "driver=pass,node-name=above,auto-read-only=on,file=n"));
  assert_refused(graph, node, overlay, EBUSY, "file 'n'");
  bg_user_free(reader);
  bg_user_free(writer);
  cr_assert(append(graph, node, overlay, NULL));
  cr_assert(bg_graph_close(graph, NULL));
}
