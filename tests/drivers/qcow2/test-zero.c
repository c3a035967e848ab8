#include "tests/drivers/qcow2/image.h"

#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define CLUSTER 4096

static BgExtent map(Image *image, uint64_t offset)
{
  BgExtent extent;
  cr_assert_eq(bg_driver_find("qcow2")->map(image_instance(image), offset, CLUSTER, &extent), 0);
  return extent;
}

static Image *make(BgChild **file, const char *options, const uint8_t *backing)
{
  *file = image_create(16 << 20, options, backing ? "base" : NULL, NULL);
  Image *image = image_open_writable(*file, NULL, backing, 16 << 20);
  uint8_t bytes[2 * CLUSTER];
  memset(bytes, 0x33, sizeof bytes);
  cr_assert_eq(image_write(image, bytes, sizeof bytes, 0), 0);
  return image;
}

Test(qcow2_zero, keeps_space_or_gives_it_back)
{
  g_autoptr(BgChild) file = NULL;
  Image *image = make(&file, "cluster_size=4096", NULL);
  uint64_t place = map(image, 0).offset;
  cr_assert_eq(image_zero(image, 0, CLUSTER, BG_ZERO_NONE), 0);
  BgExtent extent = map(image, 0);
  cr_assert_eq(extent.kind, BG_EXTENT_ZERO);
  cr_assert_eq(extent.child, file);
  cr_assert_eq(extent.offset, place);

  cr_assert_eq(image_write(image, "x", 1, 10), 0);
  extent = map(image, 0);
  cr_assert_eq(extent.kind, BG_EXTENT_DATA);
  cr_assert_eq(extent.offset, place, "written where its space was kept");
  uint8_t bytes[CLUSTER];
  cr_assert_eq(image_read(image, bytes, CLUSTER, 0), 0);
  cr_assert(bytes[9] == 0 && bytes[10] == 'x' && bytes[11] == 0, "and what lay there does not shine through");

  cr_assert_eq(image_zero(image, 0, CLUSTER, BG_ZERO_MAY_UNMAP), 0);
  extent = map(image, 0);
  cr_assert_eq(extent.kind, BG_EXTENT_ZERO);
  cr_assert_null(extent.child);
  image_close(image);
  image_assert_sound(file, false);
}

Test(qcow2_zero, holes_stay_holes_without_backing)
{
  g_autoptr(BgChild) file = NULL;
  Image *image = make(&file, "cluster_size=4096", NULL);
  cr_assert_eq(image_flush(image), 0);
  mem_child_reset_counts(file);
  cr_assert_eq(image_zero(image, 2 * CLUSTER, (16 << 20) - 2 * CLUSTER, BG_ZERO_NONE), 0);
  cr_assert_eq(image_flush(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_WRITES), 0);
  cr_assert_eq(map(image, 8 << 20).kind, BG_EXTENT_BACKING);
  image_close(image);
}

Test(qcow2_zero, hides_the_backing_disk)
{
  g_autoptr(BgChild) file = NULL;
  g_autofree uint8_t *backing = g_malloc(16 << 20), *shadow = g_malloc0(16 << 20);
  memset(backing, 0x44, 16 << 20);
  memcpy(shadow, backing, CLUSTER);
  memset(shadow, 0x33, CLUSTER);
  Image *image = make(&file, "cluster_size=4096", backing);
  cr_assert_eq(image_zero(image, CLUSTER, (16 << 20) - CLUSTER, BG_ZERO_MAY_UNMAP), 0);
  image_assert_content(image, shadow, 16 << 20);
  image_close(image);
  image_assert_sound(file, false);
}

Test(qcow2_zero, version_2_has_no_zero_clusters)
{
  g_autoptr(BgChild) file = NULL, overlay = NULL;
  Image *image = make(&file, "cluster_size=4096,compat=0.10", NULL);
  cr_assert_eq(image_zero(image, CLUSTER, 4 * CLUSTER, BG_ZERO_NONE), -ENOTSUP);
  cr_assert_eq(map(image, CLUSTER).kind, BG_EXTENT_DATA, "nothing was changed");
  cr_assert_eq(image_zero(image, 2 * CLUSTER, 4 * CLUSTER, BG_ZERO_NONE), 0);
  cr_assert_eq(image_zero(image, CLUSTER, 4 * CLUSTER, BG_ZERO_MAY_UNMAP), 0);
  cr_assert_eq(map(image, CLUSTER).kind, BG_EXTENT_BACKING);
  image_close(image);
  image_assert_sound(file, false);

  g_autofree uint8_t *backing = g_malloc0(16 << 20);
  image = make(&overlay, "cluster_size=4096,compat=0.10", backing);
  cr_assert_eq(image_zero(image, 0, CLUSTER, BG_ZERO_MAY_UNMAP), -ENOTSUP);
  cr_assert_eq(image_discard(image, 0, CLUSTER), -ENOTSUP, "the backing disk must not come back");
  cr_assert_eq(map(image, 0).kind, BG_EXTENT_DATA);
  image_close(image);
}

Test(qcow2_zero, discard_frees)
{
  g_autoptr(BgChild) file = NULL, overlay = NULL;
  Image *image = make(&file, "cluster_size=4096", NULL);
  cr_assert_eq(image_discard(image, 0, 16 << 20), 0);
  cr_assert_eq(map(image, 0).kind, BG_EXTENT_BACKING);
  image_close(image);
  image_assert_sound(file, false);

  g_autofree uint8_t *backing = g_malloc(16 << 20);
  memset(backing, 0x44, 16 << 20);
  image = make(&overlay, "cluster_size=4096", backing);
  cr_assert_eq(image_discard(image, 0, CLUSTER), 0);
  BgExtent extent = map(image, 0);
  cr_assert_eq(extent.kind, BG_EXTENT_ZERO);
  cr_assert_null(extent.child);
  image_close(image);
  image_assert_sound(overlay, false);
}

/* A disk of an exabyte is empty at once. */
Test(qcow2_zero, skips_what_was_never_allocated, .timeout = 120)
{
  g_autoptr(BgChild) file = image_create(UINT64_C(1) << 60, "cluster_size=2M", NULL, NULL);
  cr_assert_not_null(file);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, UINT64_C(1) << 59), 0);
  cr_assert_eq(image_zero(image, 0, UINT64_C(1) << 60, BG_ZERO_MAY_UNMAP), 0);
  uint8_t byte;
  cr_assert_eq(image_read(image, &byte, 1, UINT64_C(1) << 59), 0);
  cr_assert_eq(byte, 0);
  image_close(image);
}

/* Discarded and zeroed clusters keep their place, and are punched there if that is passed on. */
Test(qcow2_zero, discard_no_unref)
{
  for (unsigned passed = 0; passed < 2; passed++) {
    g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=4096", NULL, NULL);
    const char *options =
        passed ? "discard-no-unref=on" : "discard-no-unref=on,pass-discard-request=off,lazy-refcounts=on";
    Image *image = image_open_writable(file, options, NULL, 0);
    uint8_t bytes[2 * CLUSTER];
    memset(bytes, 0x44, sizeof bytes);
    cr_assert_eq(image_write(image, bytes, sizeof bytes, 0), 0);
    cr_assert_eq(image_flush(image), 0);
    uint64_t places[] = {map(image, 0).offset, map(image, CLUSTER).offset};
    mem_child_reset_counts(file);
    cr_assert_eq(image_discard(image, 0, CLUSTER), 0);
    cr_assert_eq(image_zero(image, CLUSTER, CLUSTER, BG_ZERO_MAY_UNMAP), 0);
    cr_assert_eq(image_flush(image), 0);
    cr_assert_eq(mem_child_count(file, MEM_DISCARD), 2 * passed);
    for (unsigned i = 0; i < 2; i++) {
      BgExtent extent = map(image, i * CLUSTER);
      cr_assert_eq(extent.kind, BG_EXTENT_ZERO);
      cr_assert_eq(extent.offset, places[i]);
    }
    cr_assert_eq(image_write(image, "x", 1, CLUSTER), 0);
    cr_assert_eq(map(image, CLUSTER).offset, places[1]);
    memset(bytes, 0, sizeof bytes);
    bytes[CLUSTER] = 'x';
    image_assert_content(image, bytes, sizeof bytes);
    image_close(image);
    image_assert_sound(file, false);
  }
}

Test(qcow2_zero, discard_no_unref_needs_version_3)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "compat=0.10", NULL, NULL);
  g_autoptr(GError) error = NULL;
  cr_assert_null(image_open(file, "discard-no-unref=on", NULL, 0, &error));
  cr_assert_not_null(strstr(error->message, "version 3"), "%s", error->message);
}
