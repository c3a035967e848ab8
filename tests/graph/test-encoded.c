#include "graph/encoded.h"

#include "graph/user.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

enum { SIZE = 128 * 1024 };

static BgGraph *graph;
static BgUser *user;
static uint8_t shadow[SIZE];

static BgUser *open_writer(const char *name)
{
  g_autoptr(GError) error = NULL;
  BgNode *node = bg_graph_find(graph, name);
  BgPerm perm = BG_PERM_CONSISTENT_READ | bg_user_write_perm(node);
  BgUser *made = bg_user_new(node, "test", perm, BG_USER_WRITE_SHARED, &error);
  cr_assert_not_null(made, "%s", error ? error->message : "");
  return made;
}

static void set_up(void)
{
  memset(shadow, 0, sizeof shadow);
  mem_disk("d")->size = SIZE;
  graph = bg_graph_new(NULL, NULL, NULL);
  add_node(graph, "node-name=disk,driver=coded,auto-read-only=on,discard=unmap,file.driver=mem,file.disk=d");
  user = open_writer("disk");
}

static void tear_down(void)
{
  bg_user_free(user);
  cr_assert(bg_graph_close(graph, NULL));
  fake_drivers_reset();
}

TestSuite(encoded, .init = set_up, .fini = tear_down, .timeout = 60);

static void put(uint64_t offset, const void *data, size_t length)
{
  struct iovec iov[2] = {{(void *)data, length / 3}, {(char *)data + length / 3, length - length / 3}};
  ssize_t written = bg_user_pwritev(user, iov, 2, offset);
  cr_assert_eq(written, (ssize_t)length, "%zd of %zu", written, length);
}

static void assert_reads(uint64_t offset, size_t length)
{
  g_autofree uint8_t *got = g_malloc(length);
  struct iovec iov = {got, length};
  cr_assert_eq(bg_user_preadv(user, &iov, 1, offset), (ssize_t)length);
  cr_assert_arr_eq(got, shadow + offset, length, "at %zu", (size_t)offset);
}

Test(encoded, the_storage_holds_the_other_form)
{
  static const uint8_t zeros[COW_CLUSTER];
  put(COW_CLUSTER, zeros, sizeof zeros);
  cr_assert_neq(memcmp(mem_disk("d")->data + COW_CLUSTER, zeros, sizeof zeros), 0);
  assert_reads(0, SIZE);
}

Test(encoded, requests_of_any_alignment)
{
  GRand *rand = g_rand_new_with_seed(11);
  for (unsigned i = 0; i < 1500; i++) {
    uint8_t data[9000];
    uint64_t offset = (uint64_t)g_rand_int_range(rand, 0, SIZE - 1);
    size_t length = (size_t)g_rand_int_range(rand, 1, i % 5 ? 700 : (int)sizeof data);
    length = MIN(length, SIZE - (size_t)offset);
    for (size_t j = 0; j < length; j++)
      data[j] = (uint8_t)g_rand_int(rand);
    put(offset, data, length);
    memcpy(shadow + offset, data, length);
    offset = (uint64_t)g_rand_int_range(rand, 0, SIZE - 5000);
    assert_reads(offset, (size_t)g_rand_int_range(rand, 1, 5000));
  }
  g_rand_free(rand);
  assert_reads(0, SIZE);
}

Test(encoded, zeros_are_not_passed_on_to_the_storage)
{
  uint8_t data[3 * COW_CLUSTER];
  memset(data, 0x77, sizeof data);
  put(0, data, sizeof data);
  memcpy(shadow, data, sizeof data);
  cr_assert_eq(bg_user_zero(user, 1000, 2 * COW_CLUSTER, BG_USER_ZERO_MAY_UNMAP), 0);
  memset(shadow + 1000, 0, 2 * COW_CLUSTER);
  assert_reads(0, sizeof data);
  cr_assert_eq(bg_user_discard(user, 0, COW_CLUSTER), 0);
  assert_reads(0, sizeof data); /* its storage would show noise */
}

/* Each thread has bytes of its own in units that all share. */
enum { THREADS = 8, ROUNDS = 400, SLICE = CODED_UNIT / THREADS };

static void *write_own_slice(void *data)
{
  unsigned own = GPOINTER_TO_UINT(data);
  for (unsigned round = 0; round < ROUNDS; round++) {
    uint8_t out[SLICE], in[SLICE];
    uint64_t offset = (uint64_t)(round % 8) * CODED_UNIT + own * SLICE;
    struct iovec write = {out, sizeof out}, read = {in, sizeof in};
    memset(out, (int)(round + own * 31), sizeof out);
    if (bg_user_pwritev(user, &write, 1, offset) != SLICE || bg_user_preadv(user, &read, 1, offset) != SLICE ||
        memcmp(in, out, sizeof in) != 0)
      return GINT_TO_POINTER(1);
  }
  return NULL;
}

Test(encoded, neighbours_in_a_unit_do_not_disturb_each_other)
{
  pthread_t threads[THREADS];
  mem_disk("d")->delay_us = 20;
  for (unsigned i = 0; i < THREADS; i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, write_own_slice, GUINT_TO_POINTER(i)), 0);
  for (unsigned i = 0; i < THREADS; i++) {
    void *failed;
    pthread_join(threads[i], &failed);
    cr_expect_null(failed, "thread %u", i);
  }
}
