#include "graph/user.h"

#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

/*   disk (cow)            256 KiB
 *   │ file     │ backing
 *   disk.file  base (cow)  100 KiB and a bit: shorter than what stands on it
 *              │ file
 *              base.file        */
#define SIZE      (256u * 1024)
#define BASE_SIZE (100u * 1024 + 300)

static BgGraph *graph;
static BgUser *user;
static uint8_t shadow[SIZE];

static BgUser *open_writer(const char *name)
{
  g_autoptr(GError) error = NULL;
  BgNode *node = bg_graph_find(graph, name);
  BgUser *made =
      bg_user_new(node, "test", BG_PERM_CONSISTENT_READ | bg_user_write_perm(node), BG_USER_WRITE_SHARED, &error);
  cr_assert_not_null(made, "%s", error ? error->message : "");
  return made;
}

static void put(BgUser *to, uint64_t offset, const void *data, size_t length)
{
  struct iovec iov = {(void *)data, length};
  cr_assert_eq(bg_user_pwritev(to, &iov, 1, offset), (ssize_t)length);
}

static void fill_base(void)
{
  g_autofree uint8_t *data = g_malloc(BASE_SIZE);
  BgUser *base = open_writer("base");
  for (unsigned i = 0; i < BASE_SIZE; i++)
    data[i] = (uint8_t)(i / 3 + i / 1000);
  /* holes, too */
  memset(data + 20000, 0, 20000);
  put(base, 0, data, 20000);
  put(base, 40000, data + 40000, BASE_SIZE - 40000);
  memcpy(shadow, data, BASE_SIZE);
  bg_user_free(base);
}

static void set_up(void)
{
  memset(shadow, 0, sizeof shadow);
  mem_disk("b")->size = BASE_SIZE;
  mem_disk("d")->size = SIZE;
  graph = bg_graph_new(NULL, NULL, NULL);
  add_node(graph, "node-name=base,driver=cow,auto-read-only=on,file.driver=mem,file.disk=b");
  fill_base();
  add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,discard=unmap,file.driver=mem,file.disk=d,backing=base");
  user = open_writer("disk");
}

static void tear_down(void)
{
  bg_user_free(user);
  cr_assert(bg_graph_close(graph, NULL));
  fake_drivers_reset();
}

TestSuite(write, .init = set_up, .fini = tear_down, .timeout = 120);

static void check_content(void)
{
  assert_holds(user, shadow, SIZE);
}

Test(write, what_is_below_shows_through)
{
  check_content();
}

Test(write, a_byte_copies_the_rest_of_its_cluster)
{
  shadow[5000] = 'x';
  put(user, 5000, "x", 1);
  check_content();
  shadow[BASE_SIZE - 1] = 'y';
  put(user, BASE_SIZE - 1, "y", 1);
  check_content();
  shadow[SIZE - 1] = 'z';
  put(user, SIZE - 1, "z", 1);
  check_content();
}

Test(write, what_is_below_stays_as_it_was)
{
  g_autofree uint8_t *before = g_memdup2(mem_disk("b")->data, BASE_SIZE);
  g_autofree uint8_t *data = g_malloc(SIZE);
  memset(data, 0xee, SIZE);
  put(user, 0, data, SIZE);
  memset(shadow, 0xee, SIZE);
  check_content();
  cr_assert_eq(memcmp(before, mem_disk("b")->data, BASE_SIZE), 0);
}

/* The node's own alignment and the vector's pieces, in any mix. */
static void random_request(GRand *rand, unsigned from, unsigned to)
{
  unsigned offset = g_rand_int_range(rand, from, to);
  unsigned length = g_rand_int_range(rand, 1, MIN(to - offset, 20000) + 1);
  unsigned cut = g_rand_int_range(rand, 0, length + 1);
  g_autofree uint8_t *data = g_malloc(length);
  struct iovec iov[3] = {{data, cut}, {NULL, 0}, {data + cut, length - cut}};
  switch (g_rand_int_range(rand, 0, 4)) {
  case 0:
    cr_assert_eq(bg_user_preadv(user, iov, 3, offset), (ssize_t)length);
    cr_assert_eq(memcmp(data, shadow + offset, length), 0);
    break;
  case 1:
    memset(shadow + offset, 0, length);
    cr_assert_eq(bg_user_zero(user, offset, length, BG_USER_ZERO_NONE), 0);
    break;
  default:
    memset(data, g_rand_int_range(rand, 0, 256), length);
    memcpy(shadow + offset, data, length);
    cr_assert_eq(bg_user_pwritev(user, iov, 3, offset), (ssize_t)length);
  }
}

Test(write, any_request_does_what_it_says)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(7);
  for (unsigned i = 0; i < 1500; i++)
    random_request(rand, 0, SIZE);
  check_content();
}

#define THREADS 4

static void *random_requests(void *data)
{
  unsigned thread = GPOINTER_TO_UINT(data);
  g_autoptr(GRand) rand = g_rand_new_with_seed(thread);
  for (unsigned i = 0; i < 300; i++)
    random_request(rand, SIZE / THREADS * thread + thread * 100,
                   SIZE / THREADS * (thread + 1) + (thread + 1) * 100 - 400);
  return NULL;
}

/* Each thread has bytes of its own, but shares clusters with its neighbours. */
Test(write, neighbours_in_one_cluster_write_at_once)
{
  pthread_t threads[THREADS];
  for (unsigned i = 0; i < THREADS; i++)
    pthread_create(&threads[i], NULL, random_requests, GUINT_TO_POINTER(i));
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  check_content();
}

static void *write_bytes(void *data)
{
  unsigned thread = GPOINTER_TO_UINT(data);
  for (unsigned i = thread; i < 16 * COW_CLUSTER; i += THREADS * 97) {
    uint8_t byte = (uint8_t)(i * 31);
    put(user, i, &byte, 1);
    shadow[i] = byte;
  }
  return NULL;
}

/* All threads allocate the same clusters. */
Test(write, one_cluster_is_allocated_by_many_at_once)
{
  pthread_t threads[THREADS];
  mem_disk("d")->delay_us = 20;
  for (unsigned i = 0; i < THREADS; i++)
    pthread_create(&threads[i], NULL, write_bytes, GUINT_TO_POINTER(i));
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  mem_disk("d")->delay_us = 0;
  check_content();
}

Test(write, a_failed_allocating_write_leaves_what_was)
{
  char data[3000];
  struct iovec iov = {data, sizeof data};
  memset(data, 'f', sizeof data);
  mem_disk("d")->fail_write = ENOSPC;
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 3000), -ENOSPC);
  mem_disk("d")->fail_write = 0;
  check_content();
  put(user, 3000, data, sizeof data);
  memcpy(shadow + 3000, data, sizeof data);
  check_content();
}

Test(write, a_fill_that_cannot_be_read_fails_the_write)
{
  struct iovec iov = {(void *)"x", 1};
  mem_disk("b")->fail_read = EIO;
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 100), -EIO);
  mem_disk("b")->fail_read = 0;
  check_content();
}

Test(write, ends_where_the_disk_ends)
{
  char data[100] = "";
  struct iovec iov = {data, sizeof data};
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, SIZE - 40), 40);
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, SIZE), -ENOSPC);
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, UINT64_MAX - 10), -EFBIG);
  cr_assert_eq(bg_user_preadv(user, &iov, 1, SIZE - 40), 40);
  cr_assert_eq(bg_user_preadv(user, &iov, 1, SIZE), 0);
  cr_assert_eq(bg_user_preadv(user, &iov, 1, UINT64_MAX), 0);
}

Test(write, needs_the_permission)
{
  bg_user_set_perm(user, BG_USER_READ_PERM, BG_USER_READ_SHARED, NULL);
  struct iovec iov = {(void *)"x", 1};
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 0), -EBADF);
  cr_assert_eq(bg_user_zero(user, 0, 1, BG_USER_ZERO_NONE), -EBADF);
  cr_assert_eq(bg_user_discard(user, 0, 1), -EBADF);
  cr_assert_eq(bg_user_resize(user, SIZE, NULL), -EBADF);
  check_content();
}

Test(write, zeroing_without_fallback_changes_nothing)
{
  cr_assert_eq(bg_user_zero(user, 0, SIZE, BG_USER_ZERO_NO_FALLBACK), -EOPNOTSUPP);
  check_content();
}

Test(write, holes_are_told_from_data)
{
  BgStatus status;
  put(user, 50 * COW_CLUSTER, "x", 1);
  /* base: data to 20000, a hole to 40000 (whole clusters of it), data to its end, nothing then */
  cr_assert_eq(bg_user_status(user, 0, &status), 0);
  cr_assert(!status.zero && status.length <= 20480);
  cr_assert_eq(bg_user_status(user, 6 * COW_CLUSTER, &status), 0);
  cr_assert(status.zero && status.length == 3 * COW_CLUSTER, "%d %lu", status.zero, (unsigned long)status.length);
  cr_assert_eq(bg_user_status(user, BASE_SIZE + 100, &status), 0);
  cr_assert(status.zero && status.length == 50 * COW_CLUSTER - BASE_SIZE - 100);
  cr_assert_eq(bg_user_status(user, 50 * COW_CLUSTER, &status), 0);
  cr_assert(!status.zero && status.length == COW_CLUSTER);
  cr_assert_eq(bg_user_status(user, SIZE, &status), -ENXIO);
}

Test(write, a_flush_reaches_the_storage_once)
{
  MemDisk *disk = mem_disk("d");
  unsigned before = disk->flushes;
  put(user, 0, "x", 1);
  cr_assert_eq(bg_user_flush(user), 0);
  cr_assert_eq(disk->flushes, before + 1);
  cr_assert_eq(bg_user_flush(user), 0);
  cr_assert_eq(disk->flushes, before + 1, "nothing new to flush");
  disk->fail_flush = EIO;
  put(user, 0, "y", 1);
  cr_assert_eq(bg_user_flush(user), -EIO);
  cr_assert_eq(bg_user_flush(user), -EIO, "told again");
  disk->fail_flush = 0;
  cr_assert_eq(bg_user_flush(user), 0);
}
