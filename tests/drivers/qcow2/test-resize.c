#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

typedef struct Shape {
  char options[64];
  uint64_t unit; /* sizes are multiples of it */
  bool backing;
} Shape;

ParameterizedTestParameters(qcow2_resize, grows_and_shrinks)
{
  static Shape shapes[] = {
      {"cluster_size=512", 3 * 512, false},
      {"cluster_size=512,refcount_bits=64", 700 * 512, false},
      {"cluster_size=512,compat=0.10", 3 * 512, false},
      {"cluster_size=4096", 3 * 512, true},
      {"cluster_size=65536", 5 * 512, false},
  };
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

/* Random sizes with writes between; what comes in reads as zeros. The backing disk is longer than the overlay ever is, and
 * full; a part of its cluster at the old end is the core's to clear, so sizes are whole clusters there. */
ParameterizedTest(Shape *shape, qcow2_resize, grows_and_shrinks, .timeout = 120)
{
  const uint64_t most = 8 << 20;
  g_autofree uint8_t *shadow = g_malloc0(most), *backing = NULL;
  uint64_t size = 1 << 20, unit = shape->backing ? 4096 : shape->unit;
  if (shape->backing) {
    backing = g_malloc(most);
    memset(backing, 0x55, most);
    memcpy(shadow, backing, size);
    image_put_file("base.raw", backing, most);
  }
  g_autoptr(BgChild) file = image_create(size, shape->options, shape->backing ? "base.raw" : NULL, NULL);
  g_autoptr(GRand) random = g_rand_new_with_seed(3);
  Image *image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", backing, most);
  for (int i = 0; i < 60; i++) {
    uint64_t next = (uint64_t)g_rand_double_range(random, 1, most / unit) * unit;
    cr_assert_eq(image_resize(image, next), 0);
    if (next < size)
      memset(shadow + next, 0, size - next);
    size = next;
    cr_assert_eq(image_size(image), size);
    for (int j = 0; j < 5; j++) {
      uint8_t bytes[20000];
      memset(bytes, g_rand_int_range(random, 1, 256), sizeof bytes);
      uint64_t at = g_rand_double_range(random, 0, size), length = MIN(sizeof bytes, size - at);
      cr_assert_eq(image_write(image, bytes, length, at), 0);
      memcpy(shadow + at, bytes, length);
    }
    if (i % 10 == 9) {
      image_assert_content(image, shadow, size);
      cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
      image_close(image);
      image_assert_judged(file, shadow, size);
      image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", backing, most);
      cr_assert_eq(image_size(image), size);
    }
  }
  image_close(image);
}

/* Any call fails: the disk has the old size or the new, on disk as in memory, and goes on. */
Test(qcow2_resize, failures, .timeout = 120)
{
  static const uint64_t sizes[] = {8 << 20, 100 << 10};
  for (unsigned which = 0; which < 2; which++)
    for (unsigned nth = 1;; nth += 1 + nth / 20) {
      g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=512", NULL, NULL);
      g_autofree uint8_t *shadow = g_malloc0(sizes[0]);
      Image *image = image_open_writable(file, NULL, NULL, 0);
      memset(shadow, 0x66, 1 << 20);
      cr_assert_eq(image_write(image, shadow, 1 << 20, 0), 0);
      mem_child_fail(file, MEM_ALL & ~MEM_DISCARD, nth, EIO, nth % 2);
      int r = image_resize(image, sizes[which]);
      bool came = mem_child_has_failed(file);
      mem_child_fail(file, 0, 0, 0, false);
      cr_assert(came || r == 0);
      uint64_t size = image_size(image);
      cr_assert(size == 1 << 20 || size == sizes[which]);
      if (r == 0)
        cr_assert_eq(size, sizes[which]);
      memset(shadow + size, 0, sizes[0] > size ? sizes[0] - size : 0);
      cr_assert_eq(image_write(image, "abc", 3, size - 3), 0);
      memcpy(shadow + size - 3, "abc", 3);
      image_assert_content(image, shadow, size);
      image_close(image);
      image_assert_sound(file, true);
      image = image_open(file, NULL, NULL, 0, NULL);
      cr_assert_eq(image_size(image), size);
      image_assert_content(image, shadow, size);
      image_close(image);
      if (!came)
        break;
    }
}

/* Nothing after the last flush reached the disk. */
static bool keep_flushed(size_t index, void *last_flush)
{
  return index < *(size_t *)last_flush;
}

Test(qcow2_resize, power_cut, .timeout = 120)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=512", NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  g_autofree uint8_t *bytes = g_malloc(1 << 20), *read = g_malloc(1 << 20);
  memset(bytes, 0x77, 1 << 20);
  cr_assert_eq(image_write(image, bytes, 1 << 20, 0), 0);
  cr_assert_eq(image_flush(image), 0);
  mem_child_record(file);
  cr_assert_eq(image_resize(image, 64 << 20), 0);
  size_t grown = mem_child_record_length(file);
  cr_assert_eq(image_resize(image, 300 << 10), 0);
  image_close(image);
  for (size_t i = 0, last_flush = 0; i <= 2 * mem_child_record_length(file); i++) {
    size_t cut = i / 2;
    if (cut && mem_child_record_is_flush(file, cut - 1))
      last_flush = cut;
    g_autoptr(BgChild) after = mem_child_replay(file, cut, i % 2 ? keep_flushed : NULL, &last_flush);
    image_assert_sound(after, true);
    image = image_open(after, NULL, NULL, 0, NULL);
    cr_assert_not_null(image);
    uint64_t whole = cut <= grown ? 1 << 20 : 300 << 10;
    cr_assert_eq(image_read(image, read, whole, 0), 0);
    cr_assert_eq(memcmp(read, bytes, whole), 0, "cut at %zu", cut);
    image_close(image);
  }
}

Test(qcow2_resize, refusals)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=512", NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_resize(image, UINT64_C(1) << 40), -EFBIG, "the L1 table would pass its cap");
  cr_assert_eq(image_size(image), 1 << 20);
  image_close(image);

  g_autoptr(BgChild) old = image_create(1 << 20, "compat=0.10", "base", NULL);
  uint8_t backing[16] = {0};
  image = image_open_writable(old, NULL, backing, sizeof backing);
  cr_assert_eq(image_resize(image, 2 << 20), -ENOTSUP);
  image_close(image);
}
