#include "graph/alone.h"

#include "fake-drivers.h"
#include "scratch.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(alone, .timeout = 20, .fini = fake_drivers_reset);

typedef struct Read {
  BgUser *user;
  _Atomic bool began, ended;
} Read;

static void *run(void *data)
{
  Read *read = data;
  char byte;
  struct iovec iov = {&byte, 1};
  read->began = true;
  cr_assert_eq(bg_user_preadv(read->user, &iov, 1, 0), 1);
  read->ended = true;
  return NULL;
}

/* Also of a user that reaches the node from above; others go on. */
Test(alone, requests_wait_outside)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  BgNode *below = add_node(graph, "driver=mem,node-name=m,disk=m");
  BgNode *twice[] = {below, below};
  Read above = {.user = scratch_reader(add_node(graph, "driver=pass,node-name=p,file=m"))};
  Read other = {.user = scratch_reader(add_node(graph, "driver=mem,node-name=o,disk=o"))};
  BgAlone alone;
  cr_assert(bg_alone_begin(&alone, graph, twice, 2, NULL));
  cr_assert(below->changing);
  pthread_t thread;
  cr_assert_eq(pthread_create(&thread, NULL, run, &above), 0);
  while (!above.began)
    g_usleep(1000);
  run(&other);
  g_usleep(20000);
  cr_assert_not(above.ended);
  bg_alone_end(&alone);
  pthread_join(thread, NULL);
  cr_assert(above.ended && !below->changing);
  bg_user_free(above.user);
  bg_user_free(other.user);
  cr_assert(bg_graph_close(graph, NULL));
}

Test(alone, not_with_what_was_removed)
{
  BgGraph *graph = bg_graph_new(NULL, NULL, NULL);
  g_autoptr(GError) error = NULL;
  BgNode *stays = add_node(graph, "driver=mem,node-name=m,disk=m");
  BgNode *gone = add_node(graph, "driver=mem,node-name=o,disk=o"), *both[] = {stays, gone};
  BgAlone alone;
  cr_assert(bg_graph_remove(graph, gone, NULL));
  cr_assert_not(bg_alone_begin(&alone, graph, both, 2, &error));
  cr_assert_eq(error->code, ENOENT, "%s", error->message);
  cr_assert_not(stays->changing || graph->restructured);
  cr_assert(bg_graph_close(graph, NULL));
}
