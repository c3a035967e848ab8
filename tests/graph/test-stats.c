#include "graph/stats.h"

#include "graph/user.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

enum { SIZE = 1 << 20 };

typedef struct Told {
  _Atomic unsigned reads, others;
  _Atomic int error;
} Told;

static Told told;
static BgGraph *graph;
static BgNode *disk;
static BgUser *user;

static void on_error(void *data, BgNode *node, bool reading, int error)
{
  Told *to = data;
  cr_assert_eq(node, disk);
  (*(reading ? &to->reads : &to->others))++;
  to->error = error;
}

static const BgListener listener = {.io_error = on_error};

/* disk (cow) ─ disk.file (mem) */
static void set_up(void)
{
  graph = bg_graph_new(NULL, &listener, &told);
  disk = add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,discard=unmap,file.driver=mem,file.disk=d");
  user = bg_user_new(disk, "test", BG_PERM_CONSISTENT_READ | BG_PERM_WRITE, BG_USER_WRITE_SHARED, NULL);
  cr_assert_not_null(user);
}

static void tear_down(void)
{
  mem_disk("d")->fail_flush = 0;
  bg_user_free(user);
  bg_graph_close(graph, NULL);
  fake_drivers_reset();
}

TestSuite(stats, .init = set_up, .fini = tear_down, .timeout = 30);

static BgRequestStats requests(BgStatsKind kind)
{
  BgNodeStats stats;
  bg_node_stats(disk, &stats);
  return stats.requests[kind];
}

static ssize_t transfer(bool writing, size_t length, uint64_t offset)
{
  g_autofree char *buffer = g_malloc0(length);
  struct iovec iov = {buffer, length};
  return writing ? bg_user_pwritev(user, &iov, 1, offset) : bg_user_preadv(user, &iov, 1, offset);
}

static void check(BgStatsKind kind, uint64_t operations, uint64_t bytes, uint64_t failed, uint64_t invalid)
{
  BgRequestStats seen = requests(kind);
  cr_assert_eq(seen.operations, operations);
  cr_assert_eq(seen.bytes, bytes);
  cr_assert_eq(seen.failed, failed);
  cr_assert_eq(seen.invalid, invalid);
}

Test(stats, nothing_at_first)
{
  for (BgStatsKind kind = 0; kind < BG_STATS_KINDS; kind++)
    check(kind, 0, 0, 0, 0);
}

Test(stats, each_kind_by_itself)
{
  mem_disk("d")->delay_us = 1000;
  cr_assert_eq(transfer(true, 8192, 4096), 8192);
  cr_assert_eq(transfer(false, 100, 0), 100);
  cr_assert_eq(transfer(false, 200, 4096), 200);
  cr_assert_eq(bg_user_flush(user), 0);
  cr_assert_eq(bg_user_zero(user, 0, 4096, BG_USER_ZERO_NONE), 0);
  cr_assert_eq(bg_user_zero(user, 8192, 4096, BG_USER_ZERO_MAY_UNMAP), 0);
  check(BG_STATS_READ, 2, 300, 0, 0);
  check(BG_STATS_WRITE, 2, 8192 + 4096, 0, 0);
  check(BG_STATS_FLUSH, 1, 0, 0, 0);
  check(BG_STATS_UNMAP, 1, 4096, 0, 0);
  cr_assert_geq(requests(BG_STATS_WRITE).nanoseconds, 1000000);
}

Test(stats, how_far_nodes_were_written)
{
  BgNodeStats above, below;
  cr_assert_eq(transfer(true, 4096, 8 * 4096), 4096);
  cr_assert_eq(transfer(true, 4096, 4096), 4096);
  bg_node_stats(disk, &above);
  bg_node_stats(bg_graph_find(graph, "disk.file"), &below);
  cr_assert_eq(above.written_up_to, 9 * 4096);
  cr_assert_gt(below.written_up_to, 0);
  cr_assert_eq(below.requests[BG_STATS_WRITE].operations, 0, "nobody stands on it");
}

Test(stats, failures_are_counted_and_told)
{
  cr_assert_eq(transfer(true, 4096, 0), 4096);
  mem_disk("d")->fail_read = EIO;
  cr_assert_eq(transfer(false, 4096, 0), -EIO);
  mem_disk("d")->fail_read = 0;
  check(BG_STATS_READ, 0, 0, 1, 0);
  cr_assert_eq(told.reads, 1);
  cr_assert_eq(told.error, EIO);

  mem_disk("d")->fail_flush = ENOSPC;
  cr_assert_eq(bg_user_flush(user), -ENOSPC);
  check(BG_STATS_FLUSH, 0, 0, 1, 0);
  cr_assert_eq(told.others, 1);
  cr_assert_eq(told.error, ENOSPC);
}

Test(stats, a_write_that_finds_no_space_is_one_failure)
{
  mem_disk("d")->fail_write = ENOSPC;
  cr_assert_eq(transfer(true, 4096, 0), -ENOSPC);
  mem_disk("d")->fail_write = 0;
  check(BG_STATS_WRITE, 0, 0, 1, 0);
  cr_assert_eq(told.others, 1);
}

Test(stats, refusals_are_no_errors_of_the_storage)
{
  cr_assert_eq(transfer(true, 1, SIZE), -ENOSPC);
  cr_assert_eq(transfer(true, 1, INT64_MAX), -EFBIG);
  check(BG_STATS_WRITE, 0, 0, 0, 2);
  cr_assert_eq(told.reads + told.others, 0);
}

static void *read_often(void *data)
{
  (void)data;
  for (int i = 0; i < 500; i++)
    cr_assert_eq(transfer(false, 10, 0), 10);
  return NULL;
}

Test(stats, threads_lose_no_count)
{
  pthread_t threads[8];
  for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
    pthread_create(&threads[i], NULL, read_often, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
    pthread_join(threads[i], NULL);
  check(BG_STATS_READ, 8 * 500, 8 * 500 * 10, 0, 0);
}
