/* Compressed and plain writes to one disk at once. */
#include "scratch.h"

#include "graph/check.h"
#include "graph/create.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <pthread.h>
#include <string.h>

enum { CLUSTER = 4096, SECTOR = 512, THREADS = 8, SHARED = 64 * CLUSTER, SIZE = 2 * SHARED, STEPS = 400 };

TestSuite(compress, .timeout = 300);

/* One thread: in the disk's first half it has every eighth sector, so that all of them meet in each cluster; in the
 * second every eighth cluster. */
typedef struct Worker {
  unsigned number;
  BgUser *packed, *plain; /* of the same disk */
  uint8_t *shadow;        /* common; each writes what it has */
  char *failed;
} Worker;

static void expect(Worker *worker, const char *what, ssize_t result, ssize_t expected)
{
  if (result != expected && !worker->failed)
    worker->failed = g_strdup_printf("thread %u: %s: %zd", worker->number, what, result);
}

/* Some of it does not get smaller. */
static void fill(GRand *random, uint8_t *bytes, size_t length)
{
  unsigned same = (unsigned)g_rand_int_range(random, 1, 9);
  for (size_t i = 0; i < length; i++)
    bytes[i] = i % same ? bytes[i - 1] : (uint8_t)g_rand_int(random);
}

static void write_part(Worker *worker, GRand *random, BgUser *user, uint64_t at, size_t length)
{
  struct iovec iov = {worker->shadow + at, length};
  fill(random, worker->shadow + at, length);
  expect(worker, "write", bg_user_pwritev(user, &iov, 1, at), (ssize_t)length);
}

static void read_part(Worker *worker, uint64_t at, size_t length, bool adopt)
{
  uint8_t bytes[CLUSTER];
  struct iovec iov = {bytes, length};
  expect(worker, "read", bg_user_preadv(worker->number % 2 ? worker->packed : worker->plain, &iov, 1, at),
         (ssize_t)length);
  if (adopt)
    memcpy(worker->shadow + at, bytes, length);
  expect(worker, "compare", memcmp(bytes, worker->shadow + at, length), 0);
}

static void *work(void *data)
{
  Worker *worker = data;
  g_autoptr(GRand) random = g_rand_new_with_seed(worker->number);
  for (unsigned i = 0; i < STEPS && !worker->failed; i++) {
    uint64_t sector = ((uint64_t)g_rand_int_range(random, 0, SHARED / CLUSTER) * THREADS + worker->number) * SECTOR;
    uint64_t cluster =
        SHARED +
        ((uint64_t)g_rand_int_range(random, 0, SHARED / CLUSTER / THREADS) * THREADS + worker->number) * CLUSTER;
    bool whole = g_rand_boolean(random);
    uint64_t at = whole ? cluster : sector;
    size_t length = whole ? CLUSTER : SECTOR;
    switch (g_rand_int_range(random, 0, 10)) {
    case 0:
    case 1:
      write_part(worker, random, worker->plain, at, length);
      break;
    case 2:
      read_part(worker, at, length, false);
      break;
    case 3:
      expect(worker, "discard", bg_user_discard(worker->plain, cluster, CLUSTER), 0);
      read_part(worker, cluster, CLUSTER, true);
      break;
    case 4:
      expect(worker, "zero", bg_user_zero(worker->plain, at, length, BG_USER_ZERO_MAY_UNMAP), 0);
      memset(worker->shadow + at, 0, length);
      break;
    case 5:
      expect(worker, "flush", whole ? bg_user_flush(worker->packed) : bg_user_write_back(worker->plain), 0);
      break;
    default:
      write_part(worker, random, worker->packed, at, length);
    }
  }
  return NULL;
}

static void assert_content(BgNode *node, const uint8_t *shadow)
{
  g_autofree uint8_t *bytes = g_malloc(SIZE);
  struct iovec iov = {bytes, SIZE};
  BgUser *user = scratch_reader(node);
  cr_assert_eq(bg_user_preadv(user, &iov, 1, 0), SIZE);
  cr_assert_arr_eq(bytes, shadow, SIZE);
  bg_user_free(user);
}

static void run_threads(BgUser *packed, BgUser *plain, uint8_t *shadow)
{
  pthread_t threads[THREADS];
  Worker workers[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i] = (Worker){i, packed, plain, shadow, NULL};
    cr_assert_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  for (unsigned i = 0; i < THREADS; i++)
    cr_assert_null(workers[i].failed, "%s", workers[i].failed);
}

static const char disk_options[] =
    "driver=qcow2,node-name=disk,auto-read-only=on,discard=unmap,l2-cache-size=0,"
    "refcount-cache-size=0,file.driver=file,file.discard=unmap,file.filename=@/disk.qcow2";

static void finding(BgCheckWatcher *watcher, const char *text)
{
  (void)watcher;
  cr_log_error("%s", text);
}

static bool progress(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  (void)watcher, (void)done, (void)total;
  return true;
}

static void assert_sound(const char *path)
{
  g_autoptr(GError) error = NULL;
  BgCheckWatcher watcher = {finding, progress};
  BgCheckResult result = {0};
  cr_assert(bg_check_image(path, "qcow2", BG_FIX_NONE, &watcher, &result, NULL, &error), "%s",
            error ? error->message : "");
  cr_assert_eq(result.corruptions, 0);
  cr_assert_eq(result.leaks, 0);
  cr_assert_gt(result.compressed_clusters, 0);
  cr_assert_lt(result.compressed_clusters, result.allocated_clusters);
}

/* One that shares everything with other writers. */
static BgUser *add_writer(BgNode *node)
{
  g_autoptr(GError) error = NULL;
  BgUser *user = bg_user_new(node, "test", BG_USER_READ_PERM | bg_user_write_perm(node), BG_PERM_ALL, &error);
  cr_assert_not_null(user, "%s", error ? error->message : "");
  return user;
}

Test(compress, threads)
{
  Scratch scratch;
  g_autoptr(GError) error = NULL;
  g_autofree uint8_t *shadow = g_malloc0(SIZE);
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "cluster_size", "4096");
  scratch_init(&scratch, NULL, NULL);
  g_autofree char *path = scratch_path(&scratch, "disk.qcow2");
  cr_assert(bg_create_image("qcow2", path, SIZE, options, NULL, NULL, NULL, &error), "%s", error ? error->message : "");

  BgNode *disk = scratch_add(&scratch, disk_options);
  BgNode *top = scratch_add(&scratch, "driver=compress,node-name=top,auto-read-only=on,file=disk");
  BgUser *packed = add_writer(top), *plain = add_writer(disk);
  run_threads(packed, plain, shadow);
  bg_user_free(packed);
  bg_user_free(plain);
  assert_content(top, shadow);
  cr_assert(bg_graph_close(scratch.graph, &error), "%s", error ? error->message : "");
  assert_sound(path);

  scratch.graph = bg_graph_new(&(BgPolicy){0}, NULL, NULL);
  assert_content(scratch_add(&scratch, disk_options), shadow);
  scratch_clear(&scratch);
}
