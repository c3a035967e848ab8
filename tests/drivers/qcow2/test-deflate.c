#include "drivers/registry.h"
#include "tests/drivers/qcow2/image.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CLUSTER 4096
#define SIZE    (1 << 20)

TestSuite(qcow2_deflate, .timeout = 120);

/* Bytes that get smaller by about three quarters, and that say what they were made from. */
static void fill(uint8_t *cluster, uint64_t length, uint32_t seed)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(seed);
  for (uint64_t i = 0; i < length; i++)
    cluster[i] = i % 4 ? cluster[i - 1] : g_rand_int(random);
}

static int write_one(Image *image, uint8_t *shadow, uint64_t index, uint32_t seed)
{
  uint8_t cluster[CLUSTER];
  fill(cluster, CLUSTER, seed);
  int r = image_write_special(image, cluster, CLUSTER, index * CLUSTER);
  if (r == 0)
    memcpy(shadow + index * CLUSTER, cluster, CLUSTER);
  return r;
}

static unsigned count_special(Image *image)
{
  unsigned count = 0;
  for (uint64_t at = 0; at < SIZE;) {
    BgExtent extent;
    cr_assert_eq(bg_driver_find("qcow2")->map(image_instance(image), at, SIZE - at, &extent), 0);
    count += extent.kind == BG_EXTENT_SPECIAL ? extent.length / CLUSTER : 0;
    at += extent.length;
  }
  return count;
}

static void packs(const char *options)
{
  g_autoptr(BgChild) file = image_create(SIZE, options, NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(SIZE);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  for (unsigned i = 0; i < 200; i++)
    cr_assert_eq(write_one(image, shadow, i, i), 0);
  cr_assert_eq(count_special(image), 200);
  image_assert_content(image, shadow, SIZE);
  image_close(image);
  cr_assert_lt(file->ops->size(file), 200 * CLUSTER * 3 / 4, "%s: %d bytes", options, (int)file->ops->size(file));
  image_assert_judged(file, shadow, SIZE);
  image_assert_sound(file, false);
}

Test(qcow2_deflate, packs)
{
  packs("cluster_size=4096");
  packs("cluster_size=4096,compression_type=zstd");
  packs("cluster_size=4096,compat=0.10");
  packs("cluster_size=4096,refcount_bits=64");
}

/* Where refcounts cannot count so far, clusters are not shared. */
Test(qcow2_deflate, narrow_refcounts)
{
  static const char *const options[] = {"cluster_size=4096,refcount_bits=1", "cluster_size=4096,refcount_bits=2"};
  for (unsigned which = 0; which < 2; which++) {
    g_autoptr(BgChild) file = image_create(SIZE, options[which], NULL, NULL);
    g_autofree uint8_t *shadow = g_malloc0(SIZE);
    Image *image = image_open_writable(file, NULL, NULL, 0);
    for (unsigned i = 0; i < 100; i++)
      cr_assert_eq(write_one(image, shadow, i, i), 0);
    image_close(image);
    image_assert_judged(file, shadow, SIZE);
    image_assert_sound(file, false);
  }
}

Test(qcow2_deflate, noise_is_left_to_the_core)
{
  g_autoptr(BgChild) file = image_create(SIZE, "cluster_size=4096", NULL, NULL);
  g_autoptr(GRand) random = g_rand_new_with_seed(3);
  uint8_t cluster[CLUSTER];
  for (unsigned i = 0; i < CLUSTER; i++)
    cluster[i] = g_rand_int(random);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  mem_child_reset_counts(file);
  cr_assert_eq(image_write_special(image, cluster, CLUSTER, 0), -ENOTSUP);
  cr_assert_eq(mem_child_count(file, MEM_ALL), 0);
  image_close(image);
  image_assert_sound(file, false);
}

/* Plain, zero and compressed clusters are replaced; plain writes, zeros and discards replace compressed ones. */
Test(qcow2_deflate, replaces_and_is_replaced)
{
  static const char *const options[] = {"cluster_size=4096", "cluster_size=4096,compat=0.10",
                                        "cluster_size=16384,extended_l2=on"};
  for (unsigned which = 0; which < G_N_ELEMENTS(options); which++) {
    g_autoptr(BgChild) file = image_create(SIZE, options[which], NULL, NULL);
    g_autofree uint8_t *shadow = g_malloc0(SIZE), *bytes = g_malloc(16384);
    g_autoptr(GRand) random = g_rand_new_with_seed(which);
    uint64_t cluster = which == 2 ? 16384 : CLUSTER;
    for (unsigned round = 0; round < 3; round++) {
      Image *image = image_open_writable(file, NULL, NULL, 0);
      for (unsigned i = 0; i < 400; i++) {
        uint64_t at = g_rand_int_range(random, 0, SIZE / cluster) * cluster;
        switch (g_rand_int_range(random, 0, 8)) {
        case 0:
          cr_assert_eq(image_write(image, "plain", 5, at + 700), 0);
          memcpy(shadow + at + 700, "plain", 5);
          break;
        case 1:
          cr_assert_eq(image_zero(image, at, cluster, which == 1 ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE), 0);
          memset(shadow + at, 0, cluster);
          break;
        case 2:
          cr_assert_eq(image_discard(image, at, cluster), 0);
          cr_assert_eq(image_read(image, shadow + at, cluster, at), 0);
          break;
        case 3:
          cr_assert_eq(i % 2 ? image_write_back(image) : image_flush(image), 0);
          break;
        default:
          fill(bytes, cluster, g_rand_int(random));
          cr_assert_eq(image_write_special(image, bytes, cluster, at), 0);
          memcpy(shadow + at, bytes, cluster);
        }
      }
      image_assert_content(image, shadow, SIZE);
      image_close(image);
      image_assert_judged(file, shadow, SIZE);
      image_assert_sound(file, false);
    }
  }
}

/* The room behind compressed data goes with its cluster, whatever it is used for next; and what a reader has inflated is not taken for what
 * lies there now. */
Test(qcow2_deflate, room_goes_with_its_cluster)
{
  g_autoptr(BgChild) file = image_create(SIZE, "cluster_size=4096", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(SIZE), *bytes = g_malloc(16 * CLUSTER);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  for (unsigned round = 0; round < 50; round++) {
    uint64_t at = (round % 7) * 20 * CLUSTER;
    cr_assert_eq(write_one(image, shadow, round % 7 * 20, round), 0);
    image_assert_content(image, shadow, SIZE);
    if (round % 2)
      cr_assert_eq(image_write_back(image), 0);
    cr_assert_eq(image_zero(image, at, CLUSTER, BG_ZERO_MAY_UNMAP), 0);
    memset(shadow + at, 0, CLUSTER);
    cr_assert_eq(image_flush(image), 0);
    if (round % 3 == 0) {
      memset(bytes, round | 1, 3 * CLUSTER);
      cr_assert_eq(image_write(image, bytes, 3 * CLUSTER, (150 + round) * CLUSTER), 0);
      memcpy(shadow + (150 + round) * CLUSTER, bytes, 3 * CLUSTER);
    }
    cr_assert_eq(write_one(image, shadow, 140 + round % 5, round * 3), 0);
    image_assert_content(image, shadow, SIZE);
  }
  image_close(image);
  image_assert_judged(file, shadow, SIZE);
  image_assert_sound(file, false);
}

/* What a request may still read is not written over, though its cluster was never free in between. */
Test(qcow2_deflate, waits_for_requests)
{
  g_autoptr(BgChild) file = image_create(SIZE, "cluster_size=4096", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(SIZE), *before = NULL;
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(write_one(image, shadow, 0, 1), 0);
  cr_assert_eq(image_flush(image), 0);
  uint64_t request = image_request_begin(image), end = file->ops->size(file), start = end & ~(uint64_t)(CLUSTER - 1);
  before = g_memdup2(mem_child_data(file) + start, end - start);
  mem_child_fail(file, MEM_PWRITEV, 1, EIO, false);
  cr_assert_eq(write_one(image, shadow, 1, 2), -EIO);
  cr_assert_eq(image_discard(image, 0, CLUSTER), 0);
  memset(shadow, 0, CLUSTER);
  for (unsigned i = 2; i < 12; i++) {
    cr_assert_eq(image_flush(image), 0);
    cr_assert_eq(write_one(image, shadow, i, i), 0);
  }
  cr_assert_eq(memcmp(mem_child_data(file) + start, before, end - start), 0);
  image_request_end(image, request);
  image_assert_content(image, shadow, SIZE);
  image_close(image);
  image_assert_sound(file, false);
}

/* Whatever call fails, that write alone fails, and nothing leaks. */
Test(qcow2_deflate, a_failing_child)
{
  bool failed = true;
  for (uint64_t nth = 1; failed; nth++) {
    g_autoptr(BgChild) file = image_create(SIZE, "cluster_size=512", NULL, NULL);
    g_autofree uint8_t *shadow = g_malloc0(SIZE);
    Image *image = image_open_writable(file, "l2-cache-size=1,refcount-cache-size=1", NULL, 0);
    mem_child_fail(file, MEM_ALL, nth, nth % 2 ? ENOSPC : EIO, false);
    failed = false;
    for (unsigned i = 0; i < 300; i++) {
      uint8_t cluster[512];
      uint64_t at = i * 37 % 512 * 512;
      fill(cluster, sizeof cluster, i);
      int r = image_write_special(image, cluster, sizeof cluster, at);
      cr_assert(r == 0 || (!failed && r == (nth % 2 ? -ENOSPC : -EIO)), "call %d: %d", (int)nth, r);
      failed |= r < 0;
      if (r < 0)
        r = image_write_special(image, cluster, sizeof cluster, at);
      cr_assert_eq(r, 0, "call %d: %d again", (int)nth, r);
      memcpy(shadow + at, cluster, sizeof cluster);
    }
    failed |= mem_child_has_failed(file);
    mem_child_fail(file, 0, 0, 0, false);
    image_assert_content(image, shadow, SIZE);
    image_close(image);
    image_assert_sound(file, false);
    nth += nth > 40 ? nth / 15 : 0;
  }
}

/* A disk that ends within a cluster. */
Test(qcow2_deflate, the_end_of_the_disk)
{
  g_autoptr(BgChild) file = image_create(SIZE - 1000, "cluster_size=4096", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(SIZE);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  uint64_t last = SIZE - CLUSTER, length = CLUSTER - 1000;
  fill(shadow + last, length, 7);
  cr_assert_eq(image_write_special(image, shadow + last, length, last), 0);
  image_assert_content(image, shadow, SIZE - 1000);
  cr_assert_eq(image_resize(image, SIZE), 0);
  image_assert_content(image, shadow, SIZE);
  cr_assert_eq(write_one(image, shadow, last / CLUSTER, 8), 0);
  image_close(image);
  image_assert_judged(file, shadow, SIZE);
}

/* Another program's content under the same entries is not mistaken for what was inflated before. */
Test(qcow2_deflate, what_others_wrote_meanwhile)
{
  g_autoptr(BgChild) file = image_create(SIZE, "cluster_size=4096", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(SIZE), *other_shadow = g_malloc0(SIZE);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(write_one(image, shadow, 5, 1), 0);
  cr_assert(image_set_writable(image, false, NULL));
  image_assert_content(image, shadow, SIZE);

  Image *other = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_discard(other, 5 * CLUSTER, CLUSTER), 0);
  cr_assert_eq(image_flush(other), 0);
  cr_assert_eq(write_one(other, other_shadow, 5, 2), 0);
  image_close(other);

  cr_assert(image_set_writable(image, true, NULL));
  image_assert_content(image, other_shadow, SIZE);
  image_close(image);
  image_assert_sound(file, false);
}

typedef struct Worker {
  Image *image;
  uint8_t *shadow;
  unsigned number;
  int result;
} Worker;

static void *work(void *data)
{
  Worker *worker = data;
  g_autoptr(GRand) random = g_rand_new_with_seed(worker->number);
  for (unsigned i = 0; i < 150 && worker->result == 0; i++) {
    uint64_t index = g_rand_int_range(random, 0, SIZE / CLUSTER / 4) * 4 + worker->number;
    if (i % 10 == 9) {
      worker->result = image_discard(worker->image, index * CLUSTER, CLUSTER);
      memset(worker->shadow + index * CLUSTER, 0, CLUSTER);
    } else {
      worker->result = write_one(worker->image, worker->shadow, index, g_rand_int(random));
    }
    if (i % 25 == 0 && worker->result == 0)
      worker->result = image_flush(worker->image);
    uint8_t seen[CLUSTER];
    if (worker->result == 0)
      worker->result = image_read(worker->image, seen, CLUSTER, index * CLUSTER);
    if (worker->result == 0 && memcmp(seen, worker->shadow + index * CLUSTER, CLUSTER) != 0)
      worker->result = -EILSEQ;
  }
  return NULL;
}

Test(qcow2_deflate, threads)
{
  g_autoptr(BgChild) file = image_create(SIZE, "cluster_size=4096", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(SIZE);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  Worker workers[4];
  pthread_t threads[4];
  for (unsigned i = 0; i < 4; i++) {
    workers[i] = (Worker){image, shadow, i, 0};
    cr_assert_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (unsigned i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    cr_assert_eq(workers[i].result, 0);
  }
  image_assert_content(image, shadow, SIZE);
  image_close(image);
  image_assert_judged(file, shadow, SIZE);
  image_assert_sound(file, false);
}
