#include "tests/drivers/qcow2/image.h"

#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

/* Images as qemu-img makes them read as qemu-img reads them. */
typedef struct Made {
  char commands[400]; /* make $1/a.qcow2; $1/raw is 8 MiB + 12345 bytes of data with holes */
} Made;

#define RAW_SIZE ((8u << 20) + 12345)

static const char prepare[] =
    "cd $1; rm -f *.qcow2 raw text; i=0; while [ $i -lt 20000 ]; do echo \"line $i of the text\"; i=$((i+1)); done "
    ">text; "
    "head -c 3000000 /dev/urandom >raw; dd if=text of=raw bs=1k seek=4000 conv=notrunc status=none; "
    "truncate -s 8400953 raw; ";

ParameterizedTestParameters(qcow2_map, reads_what_qemu_wrote)
{
  static Made made[] = {
      {"qemu-img convert -O qcow2 raw a.qcow2"},
      {"qemu-img convert -O qcow2 -o compat=0.10 raw a.qcow2"},
      {"qemu-img convert -O qcow2 -o cluster_size=512,refcount_bits=1 raw a.qcow2"},
      {"qemu-img convert -O qcow2 -o cluster_size=2M raw a.qcow2"},
      {"qemu-img convert -c -O qcow2 raw a.qcow2"},
      {"qemu-img convert -c -O qcow2 -o compat=0.10 raw a.qcow2"},
      {"qemu-img convert -c -O qcow2 -o cluster_size=512 raw a.qcow2"},
      {"qemu-img convert -c -O qcow2 -o compression_type=zstd raw a.qcow2"},
      {"qemu-img convert -c -O qcow2 -o compression_type=zstd,cluster_size=2M raw a.qcow2"},
      {"qemu-img convert -O qcow2 -o preallocation=metadata raw a.qcow2"},
      {"qemu-img convert -O qcow2 -o extended_l2=on raw a.qcow2"},
      {"qemu-img convert -O qcow2 -o extended_l2=on,cluster_size=16k raw a.qcow2"},
      {"qemu-img convert -c -O qcow2 -o extended_l2=on raw a.qcow2"},
      {"qemu-img convert -O qcow2 raw a.qcow2; qemu-img snapshot -c one a.qcow2; qemu-img snapshot -c 'two 2' a.qcow2"},
  };
  return cr_make_param_array(Made, made, G_N_ELEMENTS(made));
}

ParameterizedTest(Made *made, qcow2_map, reads_what_qemu_wrote, .timeout = 120)
{
  g_autofree char *make_raw = g_strdup_printf("%s cp raw out", prepare);
  g_autofree char *make_image = g_strdup_printf("cd $1; %s; cp a.qcow2 out", made->commands);
  g_autoptr(BgChild) raw = image_require_shell(make_raw);
  g_autoptr(BgChild) file = image_require_shell(make_image);
  g_autoptr(GError) error = NULL;
  mem_child_set_perm(file, BG_PERM_CONSISTENT_READ);
  Image *image = image_open(file, "l2-cache-size=0", NULL, 0, &error);
  cr_assert_not_null(image, "%s: %s", made->commands, error ? error->message : "");
  /* qemu-img rounds sizes up to sectors */
  cr_assert_eq(image_size(image), (raw->ops->size(raw) + 511) / 512 * 512);
  image_assert_content(image, mem_child_data(raw), image_size(image));
  cr_assert_eq(image_corruptions(image), 0);
  image_close(image);
  cr_assert_eq(mem_child_count(file, MEM_WRITES), 0);
}

/* Compressed clusters are read, written over, and given back; snapshots' clusters are copied first. */
ParameterizedTestParameters(qcow2_map, writes_what_qemu_wrote)
{
  static Made made[] = {
      {"qemu-img convert -c -O qcow2 raw a.qcow2"},
      {"qemu-img convert -c -O qcow2 -o cluster_size=512 raw a.qcow2"},
      {"qemu-img convert -c -O qcow2 -o compression_type=zstd,cluster_size=4k raw a.qcow2"},
      {"qemu-img convert -O qcow2 raw a.qcow2; qemu-img snapshot -c one a.qcow2; qemu-img snapshot -c two a.qcow2"},
      {"qemu-img convert -c -O qcow2 raw a.qcow2; qemu-img snapshot -c one a.qcow2"},
      {"qemu-img convert -O qcow2 -o extended_l2=on raw a.qcow2; qemu-img snapshot -c one a.qcow2"},
      {"qemu-img convert -c -O qcow2 -o extended_l2=on,cluster_size=16k raw a.qcow2; qemu-img snapshot -c one a.qcow2"},
      {"qemu-img convert -O qcow2 -o cluster_size=512,compat=0.10 raw a.qcow2; qemu-img snapshot -c one a.qcow2"},
      {"qemu-img convert -O qcow2 -o cluster_size=4k,refcount_bits=2 raw a.qcow2; qemu-img snapshot -c one a.qcow2; "
       "qemu-img snapshot -c two a.qcow2"},
  };
  return cr_make_param_array(Made, made, G_N_ELEMENTS(made));
}

ParameterizedTest(Made *made, qcow2_map, writes_what_qemu_wrote, .timeout = 120)
{
  g_autofree char *make_raw = g_strdup_printf("%s cp raw out", prepare);
  g_autofree char *make_image = g_strdup_printf("cd $1; %s; cp a.qcow2 out", made->commands);
  g_autoptr(BgChild) raw = image_require_shell(make_raw);
  g_autoptr(BgChild) file = image_require_shell(make_image);
  uint8_t *shadow = mem_child_data(raw);
  Image *image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", NULL, 0);
  uint64_t size = image_size(image), granularity = image_granularity(image);
  g_autoptr(GRand) random = g_rand_new_with_seed(1);
  for (int i = 0; i < 300; i++) {
    uint8_t bytes[5000];
    memset(bytes, i + 1, sizeof bytes);
    uint64_t offset = g_rand_double_range(random, 0, size - sizeof bytes),
             length = g_rand_int_range(random, 1, sizeof bytes);
    cr_assert_eq(image_write(image, bytes, length, offset), 0);
    memcpy(shadow + offset, bytes, length);
    uint64_t granule = (uint64_t)g_rand_double_range(random, 0, size / granularity) * granularity;
    if (i % 10 == 0 && image_zero(image, granule, granularity, i % 20 ? BG_ZERO_MAY_UNMAP : 0) == 0)
      memset(shadow + granule, 0, granularity);
    if (i % 50 == 0)
      cr_assert_eq(image_flush(image), 0);
  }
  image_assert_content(image, shadow, size);
  cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
  image_close(image);
  image_assert_judged(file, shadow, size);
  if (!strstr(made->commands, "snapshot"))
    return;
  /* the snapshots are what they were */
  g_autofree char *saved = image_save(file, "a.qcow2");
  g_autoptr(BgChild) result = image_require_shell(
      "cd $1; qemu-img convert -l snapshot.name=one -O raw a.qcow2 one.raw; cmp -n 8400953 one.raw raw; cp raw out");
  cr_assert_not_null(result);
}

static uint64_t entry_at(BgChild *file, uint64_t table, uint64_t index)
{
  uint64_t entry;
  memcpy(&entry, mem_child_data(file) + table + index * 8, 8);
  return GUINT64_FROM_BE(entry);
}

static void set_entry(BgChild *file, uint64_t table, uint64_t index, uint64_t entry)
{
  entry = GUINT64_TO_BE(entry);
  memcpy(mem_child_data(file) + table + index * 8, &entry, 8);
}

/* A 1 MiB image of 4 KiB clusters with all data allocated in a row; the offset of its only L2 table. */
static uint64_t make_filled(BgChild **file)
{
  *file = image_create(1 << 20, "cluster_size=4096,preallocation=metadata", NULL, NULL);
  uint64_t l1 = entry_at(*file, 40, 0);
  return entry_at(*file, l1, 0) & 0x00fffffffffffe00;
}

Test(qcow2_map, merges_clusters_in_a_row)
{
  g_autoptr(BgChild) file = NULL;
  uint64_t l2 = make_filled(&file), first = entry_at(file, l2, 0) & 0x00fffffffffffe00;
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  const BgDriver *driver = bg_driver_find("qcow2");
  BgExtent extent;
  cr_assert_eq(driver->map(image_instance(image), 100, 1 << 19, &extent), 0);
  cr_assert_eq(extent.kind, BG_EXTENT_DATA);
  cr_assert_eq(extent.length, 1 << 19);
  cr_assert_eq(extent.offset, first + 100);
  cr_assert_eq(extent.flags, 0, "nothing is in place while the node is read-only");
  cr_assert(image_set_writable(image, true, NULL));
  cr_assert_eq(driver->map(image_instance(image), 100, 1 << 19, &extent), 0);
  cr_assert_eq(extent.flags, BG_EXTENT_IN_PLACE);
  cr_assert_eq(extent.length, 1 << 19);
  image_close(image);
}

Test(qcow2_map, false_entry_fails_there_only)
{
  g_autoptr(BgChild) file = NULL;
  uint64_t l2 = make_filled(&file);
  set_entry(file, l2, 3, entry_at(file, l2, 3) + 512);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  uint8_t bytes[4096];
  cr_assert_eq(image_read(image, bytes, 4096, 0), 0);
  cr_assert_eq(image_read(image, bytes, 4096, 3 * 4096), -EIO);
  cr_assert_eq(image_corruptions(image), 1);
  cr_assert_eq(image_read(image, bytes, 4096, 4 * 4096), 0);
  g_autoptr(GError) error = NULL;
  cr_assert_not(image_set_writable(image, true, &error));
  cr_assert_eq(error->code, EROFS);
  cr_assert_not_null(strstr(error->message, "damaged"));
  image_close(image);
}

Test(qcow2_map, false_l1_entry_fails_there_only)
{
  g_autoptr(BgChild) file = image_create(64 << 20, "cluster_size=4096,preallocation=metadata", NULL, NULL);
  uint64_t l1 = entry_at(file, 40, 0), past = (uint64_t)file->ops->size(file) + 4096;
  uint64_t bad[] = {entry_at(file, l1, 1) + 512, past & ~UINT64_C(4095), UINT64_C(0xfffffffffff000)};
  for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
    set_entry(file, l1, 1, bad[i]);
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    uint8_t bytes[4096];
    cr_assert_eq(image_read(image, bytes, 4096, 0), 0);
    cr_assert_eq(image_read(image, bytes, 4096, 2 << 20), -EIO);
    cr_assert_eq(image_corruptions(image), 1);
    image_close(image);
  }
}

Test(qcow2_map, storage_errors_are_passed_on)
{
  g_autoptr(BgChild) file = NULL;
  make_filled(&file);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  uint8_t bytes[4096];
  mem_child_fail(file, MEM_PREADV, 1, ENOLINK, false);
  cr_assert_eq(image_read(image, bytes, 4096, 0), -ENOLINK);
  cr_assert_eq(image_read(image, bytes, 4096, 0), 0);
  cr_assert_eq(image_corruptions(image), 0);
  image_close(image);
}
