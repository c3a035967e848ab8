#include "graph/align.h"

#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#define ALIGNMENT 512

static BgGraph *graph;
static MemDisk *disk;
static BgUser *user;

/* The fake driver fails the test if it is asked for anything unaligned. */
static void set_up(void)
{
  disk = mem_disk("d");
  disk->alignment = ALIGNMENT;
  disk->grows = true;
  graph = bg_graph_new(NULL, NULL, NULL);
}

static void open_disk(void)
{
  BgNode *node = add_node(graph, "node-name=disk,driver=mem,disk=d,auto-read-only=on");
  BgPerm perm = BG_PERM_CONSISTENT_READ | bg_user_write_perm(node);
  user = bg_user_new(node, "test", perm, BG_USER_WRITE_SHARED, NULL);
  cr_assert_not_null(user);
}

static void tear_down(void)
{
  bg_user_free(user);
  cr_assert(bg_graph_close(graph, NULL));
  fake_drivers_reset();
}

TestSuite(align, .init = set_up, .fini = tear_down, .timeout = 60);

Test(align, any_request_does_what_it_says)
{
  const uint64_t size = 64 * 1024;
  g_autofree uint8_t *shadow = g_malloc0(size), *buffer = g_malloc(size + 1);
  g_autoptr(GRand) rand = g_rand_new_with_seed(1);
  disk->size = size;
  open_disk();
  for (unsigned i = 0; i < 3000; i++) {
    uint64_t offset = (uint64_t)g_rand_int_range(rand, 0, (gint32)size);
    uint64_t length = (uint64_t)g_rand_int_range(rand, 1, (gint32)MIN(size - offset, 5000) + 1);
    uint8_t *data = buffer + g_rand_int_range(rand, 0, 2);
    struct iovec iov = {data, length};
    if (g_rand_boolean(rand)) {
      memset(data, g_rand_int_range(rand, 0, 256), length);
      memcpy(shadow + offset, data, length);
      cr_assert_eq(bg_user_pwritev(user, &iov, 1, offset), (ssize_t)length);
    } else {
      cr_assert_eq(bg_user_preadv(user, &iov, 1, offset), (ssize_t)length);
      cr_assert_eq(memcmp(shadow + offset, data, length), 0);
    }
  }
  cr_assert_eq(memcmp(shadow, disk->data, size), 0);
  cr_assert_eq(disk->size, size);
}

Test(align, requests_larger_than_the_bounce_buffer)
{
  const uint64_t length = (3u << 20) + 77;
  g_autofree uint8_t *data = g_malloc(length), *back = g_malloc0(length);
  for (uint64_t i = 0; i < length; i++)
    data[i] = (uint8_t)(i * 7 + i / 251);
  open_disk();
  struct iovec out = {data, length}, in = {back, length};
  cr_assert_eq(bg_user_pwritev(user, &out, 1, 1001), (ssize_t)length);
  cr_assert_eq(bg_user_preadv(user, &in, 1, 1001), (ssize_t)length);
  cr_assert_eq(memcmp(data, back, length), 0);
  cr_assert_eq(disk->size, 1001 + length);
}

Test(align, a_node_grows_to_the_byte)
{
  char byte = 'x';
  struct iovec iov = {&byte, 1};
  disk->size = 10;
  open_disk();
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 3), 1);
  cr_assert_eq(disk->size, 10, "within the last block");
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 1300), 1);
  cr_assert_eq(disk->size, 1301);
}

/* Each thread appends records of its own, none aligned, all past the end at that time. */
#define THREADS 4
#define RECORDS 100
#define RECORD  100
#define STRIDE  700

static void *append_records(void *data)
{
  unsigned thread = GPOINTER_TO_UINT(data);
  char record[RECORD];
  struct iovec iov = {record, sizeof record};
  memset(record, 'a' + (int)thread, sizeof record);
  for (unsigned i = 0; i < RECORDS; i++)
    cr_assert_eq(bg_user_pwritev(user, &iov, 1, (uint64_t)(i * THREADS + thread) * STRIDE), RECORD);
  return NULL;
}

Test(align, writers_past_the_end_do_not_cut_each_other_off)
{
  pthread_t threads[THREADS];
  disk->size = 0;
  disk->delay_us = 100;
  open_disk();
  for (unsigned i = 0; i < THREADS; i++)
    pthread_create(&threads[i], NULL, append_records, GUINT_TO_POINTER(i));
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  cr_assert_eq(disk->size, (uint64_t)(THREADS * RECORDS - 1) * STRIDE + RECORD);
  for (unsigned i = 0; i < THREADS * RECORDS; i++)
    for (unsigned j = 0; j < STRIDE && (uint64_t)i * STRIDE + j < disk->size; j++)
      cr_assert_eq(disk->data[(uint64_t)i * STRIDE + j], j < RECORD ? 'a' + (int)(i % THREADS) : 0);
}
