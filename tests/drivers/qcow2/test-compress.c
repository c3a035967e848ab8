#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define CLUSTER 4096

/* A preallocated image, where its file ends, and its first L2 table. */
static BgChild *make(const char *options, uint64_t *end, uint8_t **l2)
{
  BgChild *file = image_create(1 << 20, options, NULL, NULL);
  uint8_t *head = mem_child_data(file);
  *end = file->ops->size(file);
  *l2 = head + (qcow2_get64(head + qcow2_get64(head + QCOW2_H_L1_OFFSET)) & QCOW2_OFFSET_MASK);
  return file;
}

static uint64_t compressed(uint64_t offset, uint64_t extra_sectors)
{
  return QCOW2_COMPRESSED | extra_sectors << (62 - 4) | offset;
}

/* Noise where a compressed cluster should be is an error of that read alone. */
Test(qcow2_compress, noise_is_an_error)
{
  static const char *const options[] = {"cluster_size=4096,preallocation=metadata",
                                        "cluster_size=4096,preallocation=metadata,compression_type=zstd"};
  for (unsigned which = 0; which < 2; which++) {
    uint64_t end;
    uint8_t *l2, bytes[CLUSTER];
    g_autoptr(BgChild) file = make(options[which], &end, &l2);
    g_autoptr(GRand) random = g_rand_new_with_seed(9);
    for (unsigned i = 0; i < 200; i++) {
      for (unsigned j = 0; j < sizeof bytes; j++)
        bytes[j] = g_rand_int(random);
      cr_assert_eq(bg_child_pwrite(file, bytes, sizeof bytes, end), 0);
      qcow2_put64(l2, compressed(end + i % 512, i % 8));
      Image *image = image_open(file, NULL, NULL, 0, NULL);
      int r = image_read(image, bytes, 100, 50);
      cr_assert(r == 0 || r == -EIO);
      cr_assert_eq(image_read(image, bytes, 100, CLUSTER), 0);
      image_close(image);
    }
    memset(bytes, 0, sizeof bytes);
    cr_assert_eq(bg_child_pwrite(file, bytes, sizeof bytes, end), 0);
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    cr_assert_eq(image_read(image, bytes, 100, 50), -EIO);
    cr_assert_eq(image_corruptions(image), 0);
    image_close(image);
  }
}

Test(qcow2_compress, false_entries_are_damage)
{
  uint64_t end;
  uint8_t *l2, bytes[100];
  g_autoptr(BgChild) file = make("cluster_size=4096,preallocation=metadata", &end, &l2);
  const uint64_t entries[] = {compressed(0, 0), compressed(end, 0) | QCOW2_COPIED,
                              compressed((UINT64_C(1) << 58) - 1, 0)};
  for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
    qcow2_put64(l2, entries[i]);
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    cr_assert_eq(image_read(image, bytes, sizeof bytes, 0), -EIO);
    cr_assert_eq(image_corruptions(image), 1);
    image_close(image);
  }
}
