#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

typedef struct Shape {
  char options[64];
  uint64_t size;
} Shape;

ParameterizedTestParameters(qcow2_reftable, grows)
{
  static Shape shapes[] = {
      {"cluster_size=512,refcount_bits=64", 24 << 20}, /* a block counts 64 clusters, a cluster of the table 2 MiB */
      {"cluster_size=512,refcount_bits=32", 24 << 20},
      {"cluster_size=512", 40 << 20},
      {"cluster_size=1024,refcount_bits=64", 48 << 20},
  };
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

/* The table moves several times, with caches so small that blocks come and go. */
ParameterizedTest(Shape *shape, qcow2_reftable, grows, .timeout = 120)
{
  g_autoptr(BgChild) file = image_create(shape->size, shape->options, NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc(shape->size);
  for (uint64_t i = 0; i < shape->size; i += 512)
    memset(shadow + i, i / 512 % 255 + 1, 512);
  uint32_t clusters = qcow2_get32(mem_child_data(file) + QCOW2_H_REFTABLE_CLUSTERS);
  unsigned moves = 0;
  for (uint64_t part = shape->size / 8, at = 0; at < shape->size; at += part) {
    Image *image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", NULL, 0);
    for (uint64_t i = at; i < at + part; i += 48 << 10)
      cr_assert_eq(image_write(image, shadow + i, MIN(48 << 10, at + part - i), i), 0);
    image_close(image);
    uint32_t now = qcow2_get32(mem_child_data(file) + QCOW2_H_REFTABLE_CLUSTERS);
    moves += now != clusters;
    clusters = now;
  }
  cr_assert_geq(moves, 2);
  image_assert_judged(file, shadow, shape->size);
}

/* While the table moves the disk is cut off at any instant, or is full. */
Test(qcow2_reftable, power_cut_while_it_grows, .timeout = 120)
{
  g_autoptr(BgChild) file = image_create(8 << 20, "cluster_size=512,refcount_bits=64", NULL, NULL);
  g_autofree uint8_t *bytes = g_malloc(8 << 20);
  memset(bytes, 0x21, 8 << 20);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, bytes, 1900 << 10, 0), 0);
  cr_assert_eq(image_flush(image), 0);
  uint64_t before = qcow2_get64(mem_child_data(file) + QCOW2_H_REFTABLE_OFFSET);
  mem_child_record(file);
  for (uint64_t at = 1900 << 10; at < 2300 << 10; at += 32 << 10) {
    cr_assert_eq(image_write(image, bytes, 32 << 10, at), 0);
    cr_assert_eq(image_write_back(image), 0);
  }
  cr_assert_eq(image_flush(image), 0);
  image_close(image);
  cr_assert_neq(qcow2_get64(mem_child_data(file) + QCOW2_H_REFTABLE_OFFSET), before);
  size_t all = mem_child_record_length(file);
  for (size_t cut = 0; cut <= all; cut += cut + 1 < all ? 1 + cut % 2 : 1) {
    g_autoptr(BgChild) after = mem_child_replay(file, cut, NULL, NULL);
    image_assert_sound(after, true);
  }
}

Test(qcow2_reftable, full_disk_while_it_grows, .timeout = 120)
{
  for (uint64_t room = 0; room < 40 << 10; room += 512) {
    g_autoptr(BgChild) file = image_create(8 << 20, "cluster_size=512,refcount_bits=64", NULL, NULL);
    g_autofree uint8_t *shadow = g_malloc0(8 << 20);
    Image *image = image_open_writable(file, NULL, NULL, 0);
    memset(shadow, 0x31, 1900 << 10);
    cr_assert_eq(image_write(image, shadow, 1900 << 10, 0), 0);
    mem_child_set_capacity(file, file->ops->size(file) + room);
    int r = 0;
    for (uint64_t at = 1900 << 10; r == 0; at += 512) {
      uint8_t bytes[512];
      memset(bytes, 0x32, sizeof bytes);
      r = image_write(image, bytes, sizeof bytes, at);
      if (r == 0)
        memcpy(shadow + at, bytes, sizeof bytes);
    }
    cr_assert_eq(r, -ENOSPC);
    image_assert_content(image, shadow, 4 << 20);
    image_close(image);
    image_assert_sound(file, false);
  }
}

/* A file that cannot grow (a block device) is used up to its end, and no further. */
Test(qcow2_reftable, storage_of_a_fixed_size)
{
  g_autoptr(BgChild) file = image_create(8 << 20, "cluster_size=512", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(8 << 20);
  cr_assert_eq(file->ops->resize(file, (1 << 20) + 100), 0);
  mem_child_set_limits(file, &(BgLimits){1, 1, false});
  mem_child_set_perm(file, BG_PERM_ALL & ~BG_PERM_RESIZE);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  uint64_t at = 0;
  int r = 0;
  for (; r == 0; at += 4096) {
    uint8_t bytes[4096];
    memset(bytes, 0x41, sizeof bytes);
    r = image_write(image, bytes, sizeof bytes, at);
    if (r == 0)
      memcpy(shadow + at, bytes, sizeof bytes);
    else
      cr_assert_eq(image_read(image, shadow + at, sizeof bytes, at), 0);
  }
  cr_assert_eq(r, -ENOSPC);
  cr_assert_gt(at, 900 << 10);
  cr_assert_eq(file->ops->size(file), (1 << 20) + 100);
  image_close(image);
  image_assert_judged(file, shadow, 8 << 20);
}
