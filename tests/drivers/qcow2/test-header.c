#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

/* One field out of range: the image is refused with one clear line. */
typedef struct Malformed {
  unsigned at, bytes;
  uint64_t value;
  int err;
  char says[48];
} Malformed;

static void put(BgChild *file, unsigned at, unsigned bytes, uint64_t value)
{
  uint8_t *data = mem_child_data(file) + at;
  for (unsigned i = bytes; i--; value >>= 8)
    data[i] = value;
}

ParameterizedTestParameters(qcow2_header, malformed)
{
  static Malformed fields[] = {
      {QCOW2_H_MAGIC, 4, 0x514649fa, EINVAL, "Not a qcow2 image"},
      {QCOW2_H_VERSION, 4, 1, ENOTSUP, "version 1 is not supported"},
      {QCOW2_H_VERSION, 4, 4, ENOTSUP, "version 4 is not supported"},
      {QCOW2_H_CLUSTER_BITS, 4, 8, EINVAL, "cluster_bits is 8"},
      {QCOW2_H_CLUSTER_BITS, 4, 40, EINVAL, "cluster_bits is 40"},
      {QCOW2_H_CLUSTER_BITS, 4, UINT32_MAX, EINVAL, "cluster_bits is"},
      {QCOW2_H_SIZE, 8, UINT64_MAX, EINVAL, "size is out of range"},
      {QCOW2_H_SIZE, 8, UINT64_C(1) << 40, EINVAL, "too small for the disk"},
      {QCOW2_H_CRYPT_METHOD, 4, 2, EINVAL, "encryption method contradicts"},
      {QCOW2_H_CRYPT_METHOD, 4, 3, ENOTSUP, "unknown method (3)"},
      {QCOW2_HEADER_SIZE, 4, QCOW2_EXT_CRYPTO, EINVAL, "encryption extension is not valid"},
      {QCOW2_H_L1_ENTRIES, 4, UINT32_MAX, EINVAL, "L1 table has"},
      {QCOW2_H_L1_ENTRIES, 4, (32 << 20) / 8 + 1, EINVAL, "L1 table has"},
      {QCOW2_H_L1_ENTRIES, 4, (32 << 20) / 8, EINVAL, "past the end"},
      {QCOW2_H_L1_ENTRIES, 4, 0, EINVAL, "too small for the disk"},
      {QCOW2_H_L1_OFFSET, 8, 0, EINVAL, "not aligned"},
      {QCOW2_H_L1_OFFSET, 8, 0x30001, EINVAL, "not aligned"},
      {QCOW2_H_L1_OFFSET, 8, UINT64_MAX - 0xffff, EINVAL, "past the end"},
      {QCOW2_H_REFTABLE_OFFSET, 8, 0x10200, EINVAL, "not aligned"},
      {QCOW2_H_REFTABLE_OFFSET, 8, UINT64_C(1) << 62, EINVAL, "past the end"},
      {QCOW2_H_REFTABLE_CLUSTERS, 4, 0, EINVAL, "no refcount table"},
      {QCOW2_H_REFTABLE_CLUSTERS, 4, 129, EINVAL, "refcount table has"},
      {QCOW2_H_REFTABLE_CLUSTERS, 4, UINT32_MAX, EINVAL, "refcount table has"},
      {QCOW2_H_SNAPSHOT_COUNT, 4, 65537, EINVAL, "65537 snapshots"},
      {QCOW2_H_SNAPSHOT_COUNT, 4, 1, EINVAL, "snapshot table is not aligned"},
      {QCOW2_H_INCOMPATIBLE, 8, 1 << 2, EINVAL, "no data file"},
      {QCOW2_H_INCOMPATIBLE, 8, 1 << 4, EINVAL, "too small for the disk"},
      {QCOW2_H_INCOMPATIBLE, 8, 1 << 5, ENOTSUP, "'unknown' (incompatible bit 5)"},
      {QCOW2_H_INCOMPATIBLE, 8, UINT64_C(1) << 63, ENOTSUP, "'unknown' (incompatible bit 63)"},
      {QCOW2_H_INCOMPATIBLE, 8, 1 << 3, EINVAL, "compression type contradicts"},
      {QCOW2_H_COMPRESSION, 1, 1, EINVAL, "compression type contradicts"},
      {QCOW2_H_COMPRESSION, 1, 2, ENOTSUP, "Compression type 2"},
      {QCOW2_H_REFCOUNT_ORDER, 4, 7, EINVAL, "refcount_order is 7"},
      {QCOW2_H_HEADER_LENGTH, 4, 103, EINVAL, "length 103"},
      {QCOW2_H_HEADER_LENGTH, 4, 96, EINVAL, "length 96"},
      {QCOW2_H_HEADER_LENGTH, 4, 1 << 17, EINVAL, "length 131072"},
      {QCOW2_H_HEADER_LENGTH, 4, UINT32_MAX, EINVAL, "length"},
      {QCOW2_H_BACKING_SIZE, 4, 1024, EINVAL, "backing file's name"},
      {QCOW2_H_BACKING_SIZE, 4, UINT32_MAX, EINVAL, "backing file's name"},
      {QCOW2_H_BACKING_OFFSET, 8, 65536, EINVAL, "backing file's name"},
      {QCOW2_H_BACKING_OFFSET, 8, 65535, EINVAL, "backing file's name"},
      {QCOW2_H_BACKING_OFFSET, 8, 8, EINVAL, "backing file's name"},
      {QCOW2_H_BACKING_OFFSET, 8, UINT64_MAX - 3, EINVAL, "backing file's name"},
      {QCOW2_HEADER_SIZE + 4, 4, 16, EINVAL, "backing format"},
      {QCOW2_HEADER_SIZE + 4, 4, UINT32_MAX, EINVAL, "0xe2792aca is longer"},
      {QCOW2_HEADER_SIZE + 4, 4, UINT32_MAX - 7, EINVAL, "0xe2792aca is longer"},
      {QCOW2_HEADER_SIZE, 4, QCOW2_EXT_BITMAPS, EINVAL, "bitmaps extension has 3 bytes"},
      {QCOW2_HEADER_SIZE, 8, UINT64_C(0x12345678fffffff0), EINVAL, "0x12345678 is longer"},
  };
  return cr_make_param_array(Malformed, fields, G_N_ELEMENTS(fields));
}

ParameterizedTest(Malformed *field, qcow2_header, malformed)
{
  g_autoptr(BgChild) file = image_create(1 << 30, NULL, "base", NULL);
  put(file, field->at, field->bytes, field->value);
  g_autoptr(GError) error = NULL;
  cr_assert_null(image_open(file, NULL, NULL, 0, &error), "%s", field->says);
  cr_assert_eq(error->code, field->err, "%s: errno %d", error->message, error->code);
  cr_assert_not_null(strstr(error->message, field->says), "'%s' lacks '%s'", error->message, field->says);
  cr_assert_null(strchr(error->message, '\n'));
}

Test(qcow2_header, truncated)
{
  g_autoptr(BgChild) file = image_create(1 << 30, NULL, NULL, NULL);
  for (uint64_t size = 0; size < 4 * 65536; size = size < 128 ? size + 1 : size * 2) {
    cr_assert_eq(file->ops->resize(file, 0), 0);
    g_autoptr(BgChild) whole = image_create(1 << 30, NULL, NULL, NULL);
    g_autofree uint8_t *bytes = g_memdup2(mem_child_data(whole), MAX(size, 1));
    if (size)
      cr_assert_eq(bg_child_pwrite(file, bytes, size, 0), 0);
    g_autoptr(GError) error = NULL;
    Image *image = image_open(file, NULL, NULL, 0, &error);
    cr_assert_eq(image == NULL, size <= 3 * 65536, "%" G_GUINT64_FORMAT " bytes", size);
    if (image)
      image_close(image);
  }
}

/* A header of random bytes behind a true magic number may be refused or not, but nothing worse. */
Test(qcow2_header, noise, .timeout = 120)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(7);
  g_autoptr(BgChild) file = image_create(4 << 20, "cluster_size=512", "base", NULL);
  g_autofree uint8_t *good = g_memdup2(mem_child_data(file), 512);
  unsigned opened = 0;
  for (int i = 0; i < 5000; i++) {
    memcpy(mem_child_data(file), good, 512);
    for (int n = g_rand_int_range(random, 1, 4); n; n--)
      mem_child_data(file)[g_rand_int_range(random, 8, 160)] = g_rand_int(random);
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    uint8_t bytes[100];
    if (image && image_size(image) > 5000)
      image_read(image, bytes, sizeof bytes, 4096);
    opened += image != NULL;
    if (image)
      image_close(image);
  }
  cr_assert(opened > 0 && opened < 5000);
}

/* Unknown bits are called what the image itself calls them, made fit for a line. */
Test(qcow2_header, names_bits_as_the_image_does)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  uint8_t *row = mem_child_data(file) + QCOW2_HEADER_SIZE + 8;
  cr_assert_eq(row[2], 'd', "the feature name table of new images");
  memset(row, 0, QCOW2_FEATURE_ROW);
  row[1] = 11;
  strcpy((char *)row + 2, "warp\ndrive");
  put(file, QCOW2_H_INCOMPATIBLE, 8, 1 << 11);
  g_autoptr(GError) error = NULL;
  cr_assert_null(image_open(file, NULL, NULL, 0, &error));
  cr_assert_not_null(strstr(error->message, "'warp?drive' (incompatible bit 11)"), "%s", error->message);
}

/* What this driver does not know in the header survives its writing. */
Test(qcow2_header, unknown_extensions_stay)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  put(file, QCOW2_HEADER_SIZE, 4, 0xabcdef01);
  g_autofree uint8_t *before = g_memdup2(mem_child_data(file) + QCOW2_HEADER_SIZE, 1000);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_resize(image, 2 << 20), 0);
  image_close(image);
  cr_assert_eq(memcmp(before, mem_child_data(file) + QCOW2_HEADER_SIZE, 1000), 0);
  image_assert_sound(file, false);
}

Test(qcow2_header, storage_errors_are_told)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  for (unsigned nth = 1;; nth++) {
    g_autoptr(GError) error = NULL;
    mem_child_fail(file, MEM_PREADV, nth, ENOLINK, false);
    Image *image = image_open(file, NULL, NULL, 0, &error);
    bool came = mem_child_has_failed(file);
    cr_assert_eq(image == NULL, came);
    if (image)
      image_close(image);
    if (!came)
      break;
    cr_assert_eq(error->code, ENOLINK);
  }
}
