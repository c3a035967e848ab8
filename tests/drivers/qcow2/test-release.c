#include "tests/drivers/qcow2/image.h"

#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define CLUSTER 4096

static Image *make(BgChild **file)
{
  *file = image_create(1 << 20, "cluster_size=4096", NULL, NULL);
  Image *image = image_open_writable(*file, NULL, NULL, 0);
  g_autofree uint8_t *bytes = g_malloc(8 * CLUSTER);
  memset(bytes, 0x11, 8 * CLUSTER);
  cr_assert_eq(image_write(image, bytes, 8 * CLUSTER, 0), 0);
  cr_assert_eq(image_flush(image), 0);
  return image;
}

/* A request that mapped a cluster before it was freed may read it until it ends: neither punched nor used again. */
Test(qcow2_release, waits_for_requests)
{
  g_autoptr(BgChild) file = NULL;
  Image *image = make(&file);
  uint64_t request = image_request_begin(image), end = file->ops->size(file);
  cr_assert_eq(image_discard(image, 0, 4 * CLUSTER), 0);
  mem_child_reset_counts(file);
  for (int i = 0; i < 3; i++)
    cr_assert_eq(image_flush(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_DISCARD), 0);
  uint8_t bytes[CLUSTER];
  memset(bytes, 0x22, CLUSTER);
  cr_assert_eq(image_write(image, bytes, CLUSTER, 512 << 10), 0);
  cr_assert_eq(file->ops->size(file), end + CLUSTER, "taken behind the end, not from what is still read");
  image_request_end(image, request);
  cr_assert_eq(image_write_back(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_DISCARD), 1, "four clusters in a row are punched in one go");
  end = file->ops->size(file);
  cr_assert_eq(image_write(image, bytes, CLUSTER, 600 << 10), 0);
  cr_assert_eq(file->ops->size(file), end, "now it is used again");
  image_close(image);
  image_assert_sound(file, false);
}

/* Nor before the metadata that gave it up is durable. */
Test(qcow2_release, waits_for_the_disk)
{
  g_autoptr(BgChild) file = NULL;
  Image *image = make(&file);
  mem_child_reset_counts(file);
  cr_assert_eq(image_discard(image, 0, CLUSTER), 0);
  uint64_t end = file->ops->size(file);
  uint8_t bytes[CLUSTER] = {1};
  cr_assert_eq(image_write(image, bytes, CLUSTER, 512 << 10), 0);
  cr_assert_eq(file->ops->size(file), end + CLUSTER);
  mem_child_fail(file, MEM_FLUSH, 1, EIO, true);
  cr_assert_eq(image_write_back(image), -EIO);
  cr_assert_eq(mem_child_count(file, MEM_DISCARD), 0);
  cr_assert_eq(image_write(image, bytes, CLUSTER, 600 << 10), 0);
  cr_assert_eq(file->ops->size(file), end + 2 * CLUSTER);
  mem_child_fail(file, 0, 0, 0, false);
  cr_assert_eq(image_write_back(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_DISCARD), 1);
  image_close(image);
  image_assert_sound(file, false);
}

/* What is written over by copy-on-write alone is used again, but not punched. */
Test(qcow2_release, punches_only_what_was_discarded)
{
  g_autoptr(BgChild) file = NULL;
  Image *image = make(&file);
  mem_child_reset_counts(file);
  cr_assert_eq(image_zero(image, 0, CLUSTER, BG_ZERO_NONE), 0);
  cr_assert_eq(image_flush(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_DISCARD), 0);
  cr_assert_eq(image_zero(image, 0, CLUSTER, BG_ZERO_MAY_UNMAP), 0);
  cr_assert_eq(image_flush(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_DISCARD), 1);
  image_close(image);
  image_assert_sound(file, false);
}

/* Filled and emptied again and again, the file does not grow without bound; nor does it over aborted requests. */
Test(qcow2_release, file_does_not_grow_for_ever)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=512", NULL, NULL);
  g_autofree uint8_t *bytes = g_malloc(256 << 10);
  memset(bytes, 1, 256 << 10);
  uint64_t settled = 0;
  for (int i = 0; i < 40; i++) {
    Image *image = image_open_writable(file, NULL, NULL, 0);
    cr_assert_eq(image_write(image, bytes, 256 << 10, (i % 4) * (256 << 10)), 0);
    cr_assert_eq(image_flush(image), 0);
    cr_assert_eq(image_zero(image, (i % 4) * (256 << 10), 256 << 10, BG_ZERO_MAY_UNMAP), 0);
    mem_child_fail(file, MEM_PWRITEV, 2, ENOSPC, true);
    cr_assert_eq(image_write(image, bytes, 64 << 10, 0), -ENOSPC);
    mem_child_fail(file, 0, 0, 0, false);
    image_close(image);
    if (i == 10)
      settled = file->ops->size(file);
  }
  cr_assert_leq(file->ops->size(file), (int64_t)settled);
  image_assert_sound(file, false);
}

/* What is discarded in the file: what somebody asked for, unless told otherwise; what was replaced, if told so. */
Test(qcow2_release, passes_on_as_told)
{
  static const struct {
    const char *options;
    unsigned asked, replaced;
  } cases[] = {{NULL, 1, 0}, {"pass-discard-request=off", 0, 0}, {"pass-discard-other=on", 1, 1}};
  for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=4096", NULL, NULL);
    Image *image = image_open_writable(file, cases[i].options, NULL, 0);
    uint8_t bytes[2 * CLUSTER];
    memset(bytes, 0x55, sizeof bytes);
    cr_assert_eq(image_write(image, bytes, sizeof bytes, 0), 0);
    cr_assert_eq(image_flush(image), 0);
    mem_child_reset_counts(file);
    cr_assert_eq(image_discard(image, 0, CLUSTER), 0);
    cr_assert_eq(image_flush(image), 0);
    cr_assert_eq(mem_child_count(file, MEM_DISCARD), cases[i].asked);
    mem_child_reset_counts(file);
    cr_assert_eq(image_write_special(image, bytes, CLUSTER, CLUSTER), 0);
    cr_assert_eq(image_flush(image), 0);
    cr_assert_eq(mem_child_count(file, MEM_DISCARD), cases[i].replaced);
    image_close(image);
    image_assert_sound(file, false);
  }
}

/* What a snapshot alone had is discarded in the file when it goes, unless told otherwise. */
Test(qcow2_release, passes_on_what_snapshots_free)
{
  static const char *const options[] = {NULL, "pass-discard-snapshot=off", "pass-discard-snapshot=on"};
  for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
    const BgDriver *driver = bg_driver_find("qcow2");
    g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=4096", NULL, NULL);
    Image *image = image_open_writable(file, options[i], NULL, 0);
    uint8_t bytes[8 * CLUSTER];
    memset(bytes, 0x55, sizeof bytes);
    cr_assert_eq(image_write(image, bytes, sizeof bytes, 0), 0);
    cr_assert(driver->snapshot_create(image_instance(image), "one", NULL));
    cr_assert_eq(image_write(image, bytes, sizeof bytes, 0), 0);
    cr_assert_eq(image_flush(image), 0);
    mem_child_reset_counts(file);
    cr_assert(driver->snapshot_delete(image_instance(image), "1", NULL));
    cr_assert_eq(image_flush(image), 0);
    cr_assert_eq(mem_child_count(file, MEM_DISCARD) > 0, i != 1, "%s", options[i]);
    int64_t size = file->ops->size(file);
    cr_assert_eq(image_write(image, bytes, sizeof bytes, 512 << 10), 0);
    cr_assert_eq(file->ops->size(file), size, "the space is free all the same");
    image_close(image);
    image_assert_sound(file, false);
  }
}
