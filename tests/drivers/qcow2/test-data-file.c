/* Images whose data lies in a file of its own. */
#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

#define SIZE ((UINT64_C(4) << 20) + 1536)

typedef struct Shape {
  char options[96]; /* of qemu-img create, beside data_file=data.raw */
  bool backing, raw;
} Shape;

/* The image, and its empty data file. */
static BgChild *make(const Shape *shape, BgChild **data)
{
  g_autofree char *script = g_strdup_printf(
      "cd $1; rm -f data.raw; qemu-img create -q -f qcow2 %s -o data_file=$PWD/data.raw%s%s out %" G_GUINT64_FORMAT,
      shape->backing ? "-b base.raw -F raw" : "", *shape->options ? "," : "", shape->options, SIZE);
  *data = mem_child_new(shape->raw ? SIZE : 0);
  return image_require_shell(script);
}

static Image *open_writable(BgChild *file, BgChild *data, const uint8_t *backing, uint64_t backing_size)
{
  g_autoptr(GError) error = NULL;
  Image *image =
      image_open_with_data(file, data, "l2-cache-size=0,refcount-cache-size=0", backing, backing_size, &error);
  cr_assert_not_null(image, "%s", error ? error->message : "");
  cr_assert(image_set_writable(image, true, &error), "%s", error ? error->message : "");
  return image;
}

static void step(Image *image, GRand *random, uint8_t *shadow)
{
  uint64_t granule = image_granularity(image), offset = g_rand_double_range(random, 0, SIZE);
  uint64_t length = g_rand_double_range(random, 1, 3.0 * granule);
  length = MIN(length, SIZE - offset);
  uint64_t start = offset & ~(granule - 1), end = MIN((offset + length + granule - 1) & ~(granule - 1), SIZE);
  unsigned kind = g_rand_int_range(random, 0, 20);
  if (kind < 12) {
    g_autofree uint8_t *bytes = g_malloc(length);
    for (uint64_t i = 0; i < length; i++)
      bytes[i] = g_rand_int(random);
    cr_assert_eq(image_write(image, bytes, length, offset), 0);
    memcpy(shadow + offset, bytes, length);
  } else if (kind < 17) {
    cr_assert_eq(image_zero(image, start, end - start, kind & 1 ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE), 0);
    memset(shadow + start, 0, end - start);
  } else if (kind < 18) { /* what it reads afterwards is undefined, but stays as it is */
    cr_assert_eq(image_discard(image, start, end - start), 0);
    cr_assert_eq(image_read(image, shadow + start, end - start, start), 0);
  } else {
    cr_assert_eq(image_flush(image), 0);
  }
}

static void assert_judged(BgChild *file, BgChild *data, const uint8_t *shadow, uint64_t size)
{
  image_put_file("data.raw", mem_child_data(data), data->ops->size(data));
  image_assert_judged(file, shadow, size);
}

static void assert_raw(BgChild *data, const uint8_t *shadow, uint64_t size)
{
  cr_assert_eq((uint64_t)data->ops->size(data), size);
  cr_assert_arr_eq(mem_child_data(data), shadow, size, "the data file is not the disk");
}

ParameterizedTestParameters(qcow2_data_file, random_against_shadow)
{
  static Shape shapes[] = {
      {"", false, false},
      {"cluster_size=512", true, false},
      {"cluster_size=4k,data_file_raw=on", false, true},
      {"data_file_raw=on,lazy_refcounts=on", false, true},
      {"cluster_size=16k,extended_l2=on", true, false},
      {"extended_l2=on,data_file_raw=on", false, true},
  };
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

ParameterizedTest(Shape *shape, qcow2_data_file, random_against_shadow, .timeout = 120)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(17);
  g_autofree uint8_t *shadow = g_malloc0(SIZE), *backing = shape->backing ? g_malloc(SIZE / 2) : NULL;
  if (backing) {
    memset(backing, 0xba, SIZE / 2);
    memcpy(shadow, backing, SIZE / 2);
    image_put_file("base.raw", backing, SIZE / 2);
  }
  g_autoptr(BgChild) data = NULL;
  g_autoptr(BgChild) file = make(shape, &data);
  for (int round = 0; round < 3; round++) {
    Image *image = open_writable(file, data, backing, SIZE / 2);
    for (int i = 0; i < 150; i++)
      step(image, random, shadow);
    image_assert_content(image, shadow, SIZE);
    cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
    image_close(image);
    if (shape->raw)
      assert_raw(data, shadow, SIZE);
  }
  cr_assert_eq(qcow2_get64(mem_child_data(file) + QCOW2_H_AUTOCLEAR), shape->raw ? QCOW2_AUTOCLEAR_DATA_RAW : 0);
  cr_assert_lt(file->ops->size(file), 1 << 20, "no data went into the image itself");
  assert_judged(file, data, shadow, SIZE);
}

/* The disk grows over what a longer data file has there, and shrinks; a raw data file goes with it. */
ParameterizedTestParameters(qcow2_data_file, resize)
{
  static Shape shapes[] = {
      {"", false, false},
      {"data_file_raw=on", false, true},
      {"cluster_size=16k,extended_l2=on", false, false},
  };
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

ParameterizedTest(Shape *shape, qcow2_data_file, resize, .timeout = 120)
{
  static const uint64_t sizes[] = {SIZE + 700 * 512, (1 << 20) + 512, (1 << 20) + 1024, 2 << 20, 3 << 20, 512, SIZE};
  g_autofree uint8_t *shadow = g_malloc(8 << 20);
  g_autoptr(BgChild) data = NULL;
  g_autoptr(BgChild) file = make(shape, &data);
  cr_assert_eq(data->ops->resize(data, 8 << 20), 0);
  memset(mem_child_data(data), 0xee, 8 << 20);
  Image *image = open_writable(file, data, NULL, 0);
  uint64_t size = SIZE;
  memset(shadow, 0x11, 8 << 20);
  cr_assert_eq(image_write(image, shadow, size, 0), 0);
  for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
    cr_assert_eq(image_resize(image, sizes[i]), 0);
    if (sizes[i] > size)
      memset(shadow + size, 0, sizes[i] - size);
    size = sizes[i];
    image_assert_content(image, shadow, size);
    if (shape->raw)
      assert_raw(data, shadow, size);
    cr_assert_eq(image_write(image, "tail", 4, size - 4), 0);
    memcpy(shadow + size - 4, "tail", 4);
  }
  cr_assert_eq(image_corruptions(image), 0);
  image_close(image);
  assert_judged(file, data, shadow, size);
}

Test(qcow2_data_file, data_is_durable_before_it_is_named)
{
  static const Shape shape = {0};
  g_autoptr(BgChild) data = NULL;
  g_autoptr(BgChild) file = make(&shape, &data);
  Image *image = open_writable(file, data, NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  cr_assert_eq(image_flush(image), 0);
  cr_assert_eq(image_write(image, "y", 1, 1 << 20), 0);
  mem_child_fail(data, MEM_FLUSH, 1, EIO, false);
  cr_assert_eq(image_write_back(image), -EIO);
  image_kill(image);
  image = image_open_with_data(file, data, NULL, NULL, 0, NULL);
  char read[2];
  cr_assert_eq(image_read(image, read, 1, 0), 0);
  cr_assert_eq(image_read(image, read + 1, 1, 1 << 20), 0);
  cr_assert_arr_eq(read, "x\0", 2);
  image_close(image);
}

static uint8_t *first_entry(BgChild *file)
{
  uint8_t *bytes = mem_child_data(file);
  uint64_t l1 = qcow2_get64(bytes + QCOW2_H_L1_OFFSET);
  return bytes + (qcow2_get64(bytes + l1) & QCOW2_OFFSET_MASK);
}

/* Data is where it is on the disk, uncompressed. */
Test(qcow2_data_file, false_entries)
{
  static const Shape shape = {"data_file_raw=on", false, true};
  static const uint64_t entries[] = {0x10000, QCOW2_COPIED | 0x20000, QCOW2_COMPRESSED | 0x10000, 0x200};
  g_autoptr(BgChild) data = NULL;
  g_autoptr(BgChild) file = make(&shape, &data);
  for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
    uint8_t byte;
    qcow2_put64(first_entry(file), entries[i]);
    Image *image = image_open_with_data(file, data, NULL, NULL, 0, NULL);
    cr_assert_eq(image_read(image, &byte, 1, 0), -EIO);
    cr_assert_eq(image_corruptions(image), 1);
    cr_assert_eq(image_read(image, &byte, 1, 0x10000), 0);
    cr_assert_not(image_set_writable(image, true, NULL));
    image_close(image);
  }
}

Test(qcow2_data_file, snapshots_take_no_writer)
{
  static const Shape shape = {0};
  g_autoptr(BgChild) data = NULL;
  g_autoptr(BgChild) file = make(&shape, &data);
  uint64_t table = ((uint64_t)file->ops->size(file) + 0xffff) & ~UINT64_C(0xffff);
  cr_assert_eq(file->ops->resize(file, table + 0x10000), 0);
  qcow2_put32(mem_child_data(file) + QCOW2_H_SNAPSHOT_COUNT, 1);
  qcow2_put64(mem_child_data(file) + QCOW2_H_SNAPSHOTS_OFFSET, table);
  g_autoptr(GError) error = NULL;
  Image *image = image_open_with_data(file, data, NULL, NULL, 0, &error);
  cr_assert_not_null(image, "%s", error ? error->message : "");
  cr_assert_not(image_set_writable(image, true, &error));
  cr_assert_eq(error->code, EROFS);
  cr_assert_not_null(strstr(error->message, "snapshots"));
  image_close(image);
}

/* A backing disk would show through a data file that is said to be the disk. */
Test(qcow2_data_file, raw_and_backing_file_contradict)
{
  static const Shape shape = {"", true, false};
  g_autoptr(BgChild) data = NULL;
  image_put_file("base.raw", "", 0);
  g_autoptr(BgChild) file = make(&shape, &data);
  mem_child_data(file)[QCOW2_H_AUTOCLEAR + 7] |= QCOW2_AUTOCLEAR_DATA_RAW;
  g_autoptr(GError) error = NULL;
  cr_assert_null(image_open_with_data(file, data, NULL, NULL, 0, &error));
  cr_assert_eq(error->code, EINVAL);
}

static void ignore_finding(BgCheckWatcher *watcher, const char *text)
{
  (void)watcher, (void)text;
}

static bool go_on(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  (void)watcher;
  return done <= total;
}

/* No refcount tells of what is in the data file. */
Test(qcow2_data_file, check)
{
  static const Shape shape = {0};
  BgCheckWatcher watcher = {ignore_finding, go_on};
  g_autoptr(BgChild) data = NULL;
  g_autoptr(BgChild) file = make(&shape, &data);
  Image *image = open_writable(file, data, NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  cr_assert_eq(image_write(image, "y", 1, 1 << 20), 0);
  cr_assert(image_set_writable(image, false, NULL));
  BgCheckResult result;
  cr_assert(bg_driver_find("qcow2")->check(image_instance(image), BG_FIX_ALL, &watcher, &result, NULL));
  cr_assert_eq(result.corruptions + result.corruptions_fixed + result.leaks + result.leaks_fixed, 0);
  cr_assert_eq(result.allocated_clusters, 2);
  qcow2_put64(first_entry(file), QCOW2_COMPRESSED | 0x10000);
  cr_assert(bg_driver_find("qcow2")->check(image_instance(image), BG_FIX_NONE, &watcher, &result, NULL));
  cr_assert_eq(result.corruptions, 1);
  image_close(image);
}
