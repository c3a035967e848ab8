#include "graph/exchange.h"

#include "drivers/error.h"
#include "graph/blockdev.h"
#include "graph/user.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static BgGraph *graph;
static BgNode *disk;
static GString *happened; /* "+NAME -NAME *NAME", the last for one that was replaced */

static void on_added(void *data, BgNode *node)
{
  (void)data;
  g_string_append_printf(happened, "+%s ", bg_node_name(node));
}

static void on_removed(void *data, BgNode *node)
{
  (void)data;
  g_string_append_printf(happened, "-%s ", bg_node_name(node));
}

static void on_replaced(void *data, BgNode *from, BgNode *to)
{
  (void)data;
  cr_assert_str_eq(bg_node_name(from), bg_node_name(to));
  g_string_append_printf(happened, "*%s ", bg_node_name(to));
}

static const BgListener listener = {.node_added = on_added, .node_removed = on_removed, .node_replaced = on_replaced};

/* disk (cow) ─ disk.file (mem "old") */
static void set_up(void)
{
  happened = g_string_new(NULL);
  graph = bg_graph_new(NULL, &listener, NULL);
  memset(mem_disk("old")->data, 'o', 1 << 20);
  memset(mem_disk("new")->data, 'n', 1 << 20);
  disk = add_node(graph, "node-name=disk,driver=pass,auto-read-only=on,file.driver=mem,file.disk=old");
  g_string_truncate(happened, 0);
}

static void tear_down(void)
{
  cr_assert(bg_graph_close(graph, NULL));
  g_string_free(happened, TRUE);
  fake_drivers_reset();
}

TestSuite(exchange, .init = set_up, .fini = tear_down, .timeout = 30);

#define NEW "driver=pass,auto-read-only=on,file.driver=mem,file.disk=new"

static BgNode *exchange(const char *text, bool force, GError **error)
{
  g_autoptr(BgDict) options = bg_blockdev_parse(text, NULL);
  return bg_graph_exchange(graph, &(BgExchange){.node = disk, .options = options, .force = force}, error);
}

static char first_byte(BgUser *user)
{
  char byte = 0;
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_preadv(user, &iov, 1, 0), 1);
  return byte;
}

static BgUser *stand_on(BgNode *node, BgPerm perm)
{
  BgPerm shared = perm & BG_PERM_WRITE ? BG_USER_WRITE_SHARED : BG_USER_READ_SHARED;
  BgUser *user = bg_user_new(node, "file 'disk'", perm, shared, NULL);
  cr_assert_not_null(user);
  return user;
}

/* All is as it was. */
static void check_refused(const char *options, bool force, int code, const char *words)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(exchange(options, force, &error));
  cr_assert_eq(bg_error_errno(error), code, "%s", error->message);
  cr_assert(strstr(error->message, words), "%s", error->message);
  cr_assert_eq(bg_graph_find(graph, "disk"), disk);
  cr_assert_not_null(bg_graph_find(graph, "disk.file"));
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  for (guint i = 0; i < nodes->len; i++)
    cr_assert_not(strstr(bg_node_name(nodes->pdata[i]), "-2"), "%s is left over", bg_node_name(nodes->pdata[i]));
}

Test(exchange, the_new_one_has_the_names_of_the_old_one)
{
  BgNode *old_file = bg_graph_find(graph, "disk.file");
  uint64_t generation = bg_node_generation(disk);
  BgNode *to = exchange(NEW, false, NULL);
  cr_assert_not_null(to);
  cr_assert_str_eq(happened->str, "*disk -disk -disk.file +disk +disk.file ");
  cr_assert_eq(bg_graph_find(graph, "disk"), to);
  cr_assert_neq(bg_graph_find(graph, "disk.file"), old_file);
  cr_assert_gt(bg_node_generation(to), generation, "pages of the old one would be taken for its own");
  BgUser *user = stand_on(to, BG_PERM_CONSISTENT_READ);
  cr_assert_eq(first_byte(user), 'n');
  bg_user_free(user);
}

Test(exchange, again_and_again)
{
  for (int i = 0; i < 5; i++) {
    disk = exchange(NEW, false, NULL);
    cr_assert_not_null(disk);
    cr_assert_str_eq(bg_node_name(disk), "disk");
  }
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  cr_assert_eq(nodes->len, 2);
}

Test(exchange, what_cannot_be_opened_changes_nothing)
{
  check_refused("driver=nonsense,file.driver=mem,file.disk=new", false, EINVAL, "nonsense");
  check_refused("driver=pass,auto-read-only=on,file.driver=mem", false, EINVAL, "disk");
  mem_disk("new")->refuse_writable = EACCES;
  check_refused("driver=pass,file.driver=mem,file.disk=new", false, EACCES, "disk");
  cr_assert_str_eq(happened->str, "");
}

static bool accept_none(void *data, BgNode *opened, GError **error)
{
  bg_set_error(error, EPERM, "%s: not this one", bg_node_name(opened));
  return !data;
}

Test(exchange, the_caller_may_refuse_what_was_opened)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgDict) options = bg_blockdev_parse(NEW, NULL);
  BgExchange wanted = {.node = disk, .options = options, .accept = accept_none, .data = graph};
  cr_assert_null(bg_graph_exchange(graph, &wanted, &error));
  cr_assert_eq(bg_error_errno(error), EPERM);
  cr_assert_eq(bg_graph_find(graph, "disk"), disk);
}

Test(exchange, whoever_reads_is_in_the_way_and_follows_by_force)
{
  BgUser *user = stand_on(disk, BG_PERM_CONSISTENT_READ);
  check_refused(NEW, false, EBUSY, "in use by file 'disk'");
  cr_assert_eq(first_byte(user), 'o');
  BgNode *to = exchange(NEW, true, NULL);
  cr_assert_not_null(to);
  cr_assert_eq(bg_user_node(user), to);
  cr_assert_eq(first_byte(user), 'n');
  bg_user_free(user);
}

Test(exchange, a_writer_is_in_the_way_also_of_force)
{
  BgUser *user = stand_on(disk, BG_PERM_CONSISTENT_READ | BG_PERM_WRITE);
  check_refused(NEW, true, EBUSY, "in use by file 'disk'");
  bg_user_free(user);
}

Test(exchange, so_is_another_node_and_whoever_reads_the_file_below)
{
  BgUser *user = stand_on(bg_graph_find(graph, "disk.file"), BG_PERM_CONSISTENT_READ);
  cr_assert_not_null(exchange(NEW, false, NULL), "it goes on with the old file");
  cr_assert_eq(first_byte(user), 'o');
  bg_user_free(user);
  disk = bg_graph_find(graph, "disk");
  add_node(graph, "node-name=above,driver=pass,auto-read-only=on,file=disk");
  g_autoptr(GError) error = NULL;
  cr_assert_null(exchange(NEW, true, &error));
  cr_assert_eq(bg_error_errno(error), EBUSY);
  cr_assert(strstr(error->message, "'above'"), "%s", error->message);
}

Test(exchange, an_old_one_that_cannot_be_written_out_stays)
{
  disk = exchange("driver=cow,file.driver=mem,file.disk=old", false, NULL);
  cr_assert_not_null(disk);
  mem_disk("old")->fail_settle = EIO;
  g_autoptr(GError) error = NULL;
  cr_assert_null(exchange(NEW, false, &error));
  cr_assert_eq(bg_graph_find(graph, "disk"), disk);
  mem_disk("old")->fail_settle = 0;
  BgUser *user = stand_on(disk, BG_PERM_CONSISTENT_READ | BG_PERM_WRITE);
  bg_user_free(user);
}
