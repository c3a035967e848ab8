/* Threads that read, write to new clusters, discard, flush and reopen one qcow2 node beside each other: nothing is lost, and under
 * ThreadSanitizer nothing races. */
#include "graph/create.h"
#include "tests/crash/random.h"
#include "tests/graph/scratch.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

TestSuite(threads, .timeout = 120);

enum { THREADS = 8, ROUNDS = 250, CLUSTER = 4096, PART = 64 * CLUSTER };
/* Behind the parts: clusters of which each thread has a piece, so that they meet where clusters are allocated. */
enum {
  SHARED_CLUSTERS = 400,
  PIECE = CLUSTER / THREADS,
  SHARED = THREADS * PART,
  SIZE = SHARED + SHARED_CLUSTERS * CLUSTER
};

typedef struct Worker {
  BgUser *user;
  uint64_t start; /* of the part of the disk that only this thread changes */
  uint64_t random;
  uint64_t piece; /* where its piece of a shared cluster begins */
  uint8_t shadow[PART];
  uint8_t shared[SHARED_CLUSTERS]; /* what fills its pieces */
  const char *failed;
} Worker;

static void put(Worker *w, uint64_t offset, uint64_t length)
{
  struct iovec iov = {w->shadow + offset, length};
  memset(w->shadow + offset, (int)random_below(&w->random, 255) + 1, length);
  if (bg_user_pwritev(w->user, &iov, 1, w->start + offset) != (ssize_t)length)
    w->failed = "a write";
}

/* All threads go through the shared clusters in the same order. */
static void put_piece(Worker *w, uint64_t cluster)
{
  uint8_t data[PIECE];
  struct iovec iov = {data, PIECE};
  w->shared[cluster] = (uint8_t)(1 + random_below(&w->random, 255));
  memset(data, w->shared[cluster], PIECE);
  if (bg_user_pwritev(w->user, &iov, 1, SHARED + cluster * CLUSTER + w->piece) != PIECE)
    w->failed = "a write to a shared cluster";
}

static void compare_piece(Worker *w, uint64_t cluster)
{
  uint8_t data[PIECE];
  struct iovec iov = {data, PIECE};
  if (bg_user_preadv(w->user, &iov, 1, SHARED + cluster * CLUSTER + w->piece) != PIECE)
    w->failed = "a read of a shared cluster";
  for (int i = 0; i < PIECE && !w->failed; i++)
    if (data[i] != w->shared[cluster])
      w->failed = "what is read of a shared cluster";
}

static void discard(Worker *w, uint64_t offset, uint64_t length)
{
  if (bg_user_discard(w->user, w->start + offset, length) != 0)
    w->failed = "a discard";
  memset(w->shadow + offset, 0, length);
}

static void compare(Worker *w, uint64_t offset)
{
  uint8_t seen[CLUSTER];
  struct iovec iov = {seen, CLUSTER};
  if (bg_user_preadv(w->user, &iov, 1, w->start + offset) != CLUSTER)
    w->failed = "a read";
  else if (memcmp(seen, w->shadow + offset, CLUSTER) != 0)
    w->failed = "what is read";
}

static void read_of_others(Worker *w)
{
  uint8_t seen[3 * CLUSTER];
  struct iovec iov = {seen, sizeof seen};
  if (bg_user_preadv(w->user, &iov, 1, random_below(&w->random, SIZE - sizeof seen)) != sizeof seen)
    w->failed = "a read";
}

static void *work(void *data)
{
  Worker *w = data;
  for (uint64_t i = 0; i < SHARED_CLUSTERS && !w->failed; i++)
    put_piece(w, i);
  for (int i = 0; i < ROUNDS && !w->failed; i++) {
    uint64_t cluster = random_below(&w->random, PART / CLUSTER - 3) * CLUSTER;
    switch (random_below(&w->random, 8)) {
    case 0:
      discard(w, cluster, (1 + random_below(&w->random, 3)) * CLUSTER);
      break;
    case 1:
      if (bg_user_flush(w->user) != 0)
        w->failed = "a flush";
      break;
    case 2:
    case 3:
      compare(w, cluster);
      read_of_others(w);
      break;
    default:
      put(w, cluster + random_below(&w->random, CLUSTER), 1 + random_below(&w->random, 2 * CLUSTER));
    }
  }
  return NULL;
}

/* Reopens the node with another cache while they work. */
static void reopen(Scratch *scratch, int round)
{
  g_autoptr(GError) error = NULL;
  BgDict *options = bg_dict_new();
  bg_dict_set(options, "node-name", "disk");
  bg_dict_set(options, "driver", "qcow2");
  bg_dict_set(options, "file", "disk.file");
  bg_dict_set(options, "discard", "unmap");
  bg_dict_set(options, "auto-read-only", "on");
  bg_dict_set(options, "l2-cache-size", round % 2 ? "1M" : "16K");
  cr_assert(bg_graph_reopen(scratch->graph, &options, 1, &error), "%s", error ? error->message : "");
  bg_dict_free(options);
}

static void compare_all(BgNode *disk, Worker *workers)
{
  BgUser *reader = scratch_reader(disk);
  for (int i = 0; i < THREADS; i++) {
    workers[i].user = reader;
    for (uint64_t at = 0; at < PART && !workers[i].failed; at += CLUSTER)
      compare(&workers[i], at);
    for (uint64_t cluster = 0; cluster < SHARED_CLUSTERS && !workers[i].failed; cluster++)
      compare_piece(&workers[i], cluster);
    cr_assert_null(workers[i].failed, "afterwards: %s", workers[i].failed);
  }
  bg_user_free(reader);
}

Test(threads, mixed_work_and_reopening)
{
  Scratch scratch;
  g_autoptr(GError) error = NULL;
  scratch_init(&scratch, NULL, NULL);
  g_autofree char *path = scratch_path(&scratch, "disk.qcow2");
  g_autoptr(BgDict) how = bg_dict_new();
  bg_dict_set(how, "cluster_size", "4096");
  cr_assert(bg_create_image("qcow2", path, SIZE, how, NULL, NULL, NULL, &error), "%s", error ? error->message : "");
  BgNode *disk = scratch_add(&scratch, "driver=qcow2,node-name=disk,auto-read-only=on,discard=unmap,l2-cache-size=16K,"
                                       "file.driver=file,file.node-name=disk.file,file.auto-read-only=on,"
                                       "file.filename=@/disk.qcow2");
  BgUser *user = scratch_writer(disk);
  Worker *workers = g_new0(Worker, THREADS);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    workers[i].user = user;
    workers[i].start = (uint64_t)i * PART;
    workers[i].piece = (uint64_t)i * PIECE;
    workers[i].random = (uint64_t)i + 1;
    cr_assert_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < 10; i++)
    reopen(&scratch, i);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  for (int i = 0; i < THREADS; i++)
    cr_assert_null(workers[i].failed, "thread %d: %s", i, workers[i].failed);
  bg_user_free(user);
  compare_all(disk, workers);
  g_free(workers);
  scratch_clear(&scratch);
}
