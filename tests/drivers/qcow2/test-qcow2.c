#include "tests/drivers/qcow2/image.h"

#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

Test(qcow2_qcow2, probe_knows_the_magic)
{
  const BgDriver *driver = bg_driver_find("qcow2");
  uint8_t head[72] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};
  cr_assert_eq(driver->probe(head, sizeof head), 100);
  cr_assert_eq(driver->probe(head, 4), 100);
  cr_assert_eq(driver->probe(head, 3), 0);
  head[0] = 'R';
  cr_assert_eq(driver->probe(head, sizeof head), 0);
}

/* ── threads ── */

#define THREADS 8
#define SECTOR  512

/* Thread n owns every nth sector of the first half of the disk, and every nth granule of the second. */
typedef struct Worker {
  Image *image;
  unsigned number, rounds;
  uint64_t size;
  uint8_t *shadow;
} Worker;

static void work_on_sector(Worker *worker, GRand *random)
{
  uint64_t sectors = worker->size / 2 / SECTOR / THREADS;
  uint64_t at = ((uint64_t)g_rand_int_range(random, 0, sectors) * THREADS + worker->number) * SECTOR;
  uint8_t bytes[SECTOR];
  if (g_rand_boolean(random)) {
    memset(bytes, g_rand_int_range(random, 0, 256), SECTOR);
    cr_assert_eq(image_write(worker->image, bytes, SECTOR, at), 0);
    memcpy(worker->shadow + at, bytes, SECTOR);
  } else {
    cr_assert_eq(image_read(worker->image, bytes, SECTOR, at), 0);
    cr_assert_eq(memcmp(bytes, worker->shadow + at, SECTOR), 0);
  }
}

static void work_on_granule(Worker *worker, GRand *random)
{
  uint64_t granule = image_granularity(worker->image), half = worker->size / 2;
  uint64_t mine = half / granule / THREADS;
  uint64_t at = half + ((uint64_t)g_rand_int_range(random, 0, mine) * THREADS + worker->number) * granule;
  g_autofree uint8_t *bytes = g_malloc0(granule);
  switch (g_rand_int_range(random, 0, 6)) {
  case 0:
    cr_assert_eq(image_zero(worker->image, at, granule, g_rand_boolean(random) ? BG_ZERO_MAY_UNMAP : 0), 0);
    memset(worker->shadow + at, 0, granule);
    break;
  case 1:
    cr_assert_eq(image_discard(worker->image, at, granule), 0);
    cr_assert_eq(image_read(worker->image, worker->shadow + at, granule, at), 0);
    break;
  case 2:
    cr_assert_eq(image_read(worker->image, bytes, granule, at), 0);
    cr_assert_eq(memcmp(bytes, worker->shadow + at, granule), 0);
    break;
  default:
    memset(bytes, g_rand_int_range(random, 0, 256), granule);
    cr_assert_eq(image_write(worker->image, bytes, granule, at), 0);
    memcpy(worker->shadow + at, bytes, granule);
  }
}

static void *work(void *data)
{
  Worker *worker = data;
  g_autoptr(GRand) random = g_rand_new_with_seed(worker->number);
  for (unsigned i = 0; i < worker->rounds; i++) {
    work_on_sector(worker, random);
    work_on_granule(worker, random);
    if (i % 16 == 0)
      cr_assert_eq(image_write_back(worker->image), 0);
  }
  return NULL;
}

typedef struct Shape {
  char options[64];
  char caches[64];
  uint64_t size;
  bool backing;
} Shape;

ParameterizedTestParameters(qcow2_qcow2, threads)
{
  static Shape shapes[] = {
      {"cluster_size=512", "l2-cache-size=0,refcount-cache-size=0", 4 << 20, false},
      {"cluster_size=4096,refcount_bits=64", "l2-cache-size=0,refcount-cache-size=0", 16 << 20, true},
      {"cluster_size=65536", "l2-cache-size=32M", 32 << 20, true},
      {"cluster_size=16K,extended_l2=on", "l2-cache-size=0,refcount-cache-size=0", 4 << 20, true},
  };
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

ParameterizedTest(Shape *shape, qcow2_qcow2, threads, .timeout = 120)
{
  g_autofree uint8_t *backing = NULL, *shadow = g_malloc0(shape->size);
  if (shape->backing) {
    backing = g_malloc(shape->size);
    memset(backing, 0xba, shape->size);
    memcpy(shadow, backing, shape->size);
    image_put_file("base.raw", backing, shape->size);
  }
  g_autoptr(BgChild) file = image_create(shape->size, shape->options, shape->backing ? "base.raw" : NULL, NULL);
  Image *image = image_open_writable(file, shape->caches, backing, shape->size);
  Worker workers[THREADS];
  pthread_t threads[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i] = (Worker){image, i, 250, shape->size, shadow};
    pthread_create(&threads[i], NULL, work, &workers[i]);
  }
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  image_assert_content(image, shadow, shape->size);
  cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
  image_close(image);
  image_assert_judged(file, shadow, shape->size);
}

/* Readers go on while the node turns read-write and back. */
typedef struct Reader {
  Image *image;
  atomic_bool stop;
} Reader;

static void *read_on(void *data)
{
  Reader *reader = data;
  uint8_t bytes[4096];
  for (uint64_t at = 0; !atomic_load(&reader->stop); at = (at + sizeof bytes) % (1 << 20)) {
    cr_assert_eq(image_read(reader->image, bytes, sizeof bytes, at), 0);
    for (unsigned i = 0; i < sizeof bytes; i++)
      cr_assert_eq(bytes[i], 7);
  }
  return NULL;
}

Test(qcow2_qcow2, readers_go_on_while_the_mode_changes, .timeout = 120)
{
  g_autofree uint8_t *bytes = g_malloc(2 << 20);
  memset(bytes, 7, 2 << 20);
  g_autoptr(BgChild) file = image_create(2 << 20, "cluster_size=512,lazy_refcounts=on", NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, bytes, 1 << 20, 0), 0);
  cr_assert(image_set_writable(image, false, NULL));
  Reader reader = {.image = image};
  pthread_t threads[2];
  for (unsigned i = 0; i < 2; i++)
    pthread_create(&threads[i], NULL, read_on, &reader);
  for (uint64_t i = 0; i < 50; i++) {
    cr_assert(image_set_writable(image, true, NULL));
    cr_assert_eq(image_write(image, bytes, 700, (1 << 20) + i * 700), 0);
    cr_assert_eq(image_zero(image, (1 << 20) + i * 512, 512, BG_ZERO_MAY_UNMAP), 0);
    cr_assert(image_set_writable(image, false, NULL));
  }
  atomic_store(&reader.stop, true);
  for (unsigned i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  image_close(image);
  image_assert_sound(file, false);
}
