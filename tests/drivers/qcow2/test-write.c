#include "tests/drivers/qcow2/image.h"

#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

/* Random requests against a shadow, over the shapes of images. */
typedef struct Shape {
  char options[96];
  uint64_t size;
  bool backing;
} Shape;

static void random_bytes(GRand *random, uint8_t *bytes, uint64_t length)
{
  for (uint64_t i = 0; i < length; i += 8) {
    uint64_t word = (uint64_t)g_rand_int(random) << 32 | g_rand_int(random);
    memcpy(bytes + i, &word, MIN(length - i, 8));
  }
}

/* One random request; whole granules for zero and discard. */
static void step(Image *image, GRand *random, uint8_t *shadow, uint64_t size)
{
  uint64_t cluster = image_granularity(image), most = MIN(size / 4, cluster * 3);
  uint64_t offset = g_rand_double_range(random, 0, size), length = g_rand_double_range(random, 1, most);
  length = MIN(length, size - offset);
  unsigned kind = g_rand_int_range(random, 0, 20);
  if (kind < 12) {
    g_autofree uint8_t *bytes = g_malloc(length);
    random_bytes(random, bytes, length);
    cr_assert_eq(image_write(image, bytes, length, offset), 0);
    memcpy(shadow + offset, bytes, length);
  } else if (kind < 17) {
    uint64_t start = offset & ~(cluster - 1), end = MIN((offset + length + cluster - 1) & ~(cluster - 1), size);
    int r = image_zero(image, start, end - start, kind & 1 ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE);
    if (r != -ENOTSUP)
      cr_assert_eq(r, 0);
    if (r == 0)
      memset(shadow + start, 0, end - start);
  } else if (kind < 18) { /* what it reads afterwards is undefined, but stays as it is */
    uint64_t start = offset & ~(cluster - 1), end = MIN((offset + length + cluster - 1) & ~(cluster - 1), size);
    int r = image_discard(image, start, end - start);
    cr_assert(r == 0 || r == -ENOTSUP);
    cr_assert_eq(image_read(image, shadow + start, end - start, start), 0);
  } else {
    cr_assert_eq(image_flush(image), 0);
  }
}

ParameterizedTestParameters(qcow2_write, random_against_shadow)
{
  static Shape shapes[] = {
      {"cluster_size=512", 3 << 20, false},
      {"cluster_size=512,refcount_bits=1", 3 << 20, true},
      {"cluster_size=512,refcount_bits=64", 5 << 20, false},
      {"cluster_size=512,compat=0.10", 3 << 20, false},
      {"cluster_size=1024,refcount_bits=2", 3 << 20, false},
      {"cluster_size=4096,refcount_bits=4", (3 << 20) + 512, true},
      {"cluster_size=4096,refcount_bits=8,lazy_refcounts=on", 3 << 20, false},
      {"cluster_size=65536", (16 << 20) + 1536, true},
      {"cluster_size=65536,refcount_bits=32", 16 << 20, false},
      {"cluster_size=65536,compat=0.10", 16 << 20, true},
      {"cluster_size=2M", (64 << 20) - 512, true},
      {"cluster_size=512,preallocation=metadata", 3 << 20, false},
      {"cluster_size=16K,extended_l2=on", (5 << 20) + 512, false},
      {"cluster_size=16K,extended_l2=on", (5 << 20) + 512, true},
      {"cluster_size=65536,extended_l2=on,lazy_refcounts=on", 16 << 20, true},
      {"cluster_size=2M,extended_l2=on,refcount_bits=1", (64 << 20) - 512, true},
      {"cluster_size=65536,extended_l2=on,preallocation=metadata", 16 << 20, false},
      {"cluster_size=65536,preallocation=metadata", 16 << 20, false},
  };
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

ParameterizedTest(Shape *shape, qcow2_write, random_against_shadow, .timeout = 120)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GRand) random = g_rand_new_with_seed(shape->size);
  g_autofree uint8_t *shadow = g_malloc0(shape->size), *backing = NULL;
  uint64_t backing_size = shape->size * 3 / 4 + 100;
  if (shape->backing) {
    backing = g_malloc(backing_size);
    random_bytes(random, backing, backing_size);
    memcpy(shadow, backing, backing_size);
    image_put_file("base.raw", backing, backing_size);
  }
  g_autoptr(BgChild) file = image_create(shape->size, shape->options, shape->backing ? "base.raw" : NULL, &error);
  cr_assert_not_null(file, "%s", error ? error->message : "");
  image_assert_sound(file, false);
  for (int round = 0; round < 4; round++) {
    /* small caches, so that tables come and go */
    Image *image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", backing, backing_size);
    for (int i = 0; i < 150; i++)
      step(image, random, shadow, shape->size);
    image_assert_content(image, shadow, shape->size);
    cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
    image_close(image);
    image_assert_sound(file, false);
  }
  image_assert_judged(file, shadow, shape->size);
}

/* Two requests to neighbouring subclusters of a cluster that a snapshot shares: map shows both no place of their own. One of them replaces the
 * whole cluster, and the other, which has waited for it, finds its place there. */
Test(qcow2_write, space_that_a_neighbour_has_made)
{
  enum { CLUSTER = 16 << 10, SUB = 512 };
  const BgDriver *driver = bg_driver_find("qcow2");
  g_autofree uint8_t *shadow = g_malloc(CLUSTER);
  memset(shadow, 0x55, CLUSTER);
  g_autoptr(BgChild) file = image_create(CLUSTER, "cluster_size=16K,extended_l2=on", NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, shadow, CLUSTER, 0), 0);
  cr_assert(driver->snapshot_create(image_instance(image), "before", NULL));
  BgExtent extent;
  cr_assert_eq(driver->map(image_instance(image), SUB, SUB, &extent), 0);
  cr_assert_not(extent.flags & BG_EXTENT_IN_PLACE);
  memset(shadow, 1, SUB);
  cr_assert_eq(image_write(image, shadow, SUB, 0), 0);

  BgReservation place = {0};
  cr_assert_eq(driver->reserve(image_instance(image), SUB, SUB, &place), 0);
  cr_assert_eq(driver->map(image_instance(image), SUB, SUB, &extent), 0);
  cr_assert(extent.flags & BG_EXTENT_IN_PLACE);
  cr_assert_eq(place.offset, SUB);
  cr_assert_eq(place.length, SUB);
  cr_assert_eq(place.child_offset, extent.offset);
  memset(shadow + SUB, 2, SUB);
  cr_assert_eq(bg_child_pwrite(place.child, shadow + SUB, SUB, place.child_offset), 0);
  cr_assert_eq(driver->commit(image_instance(image), &place), 0);
  cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
  image_close(image);
  image_assert_judged(file, shadow, CLUSTER);
}
