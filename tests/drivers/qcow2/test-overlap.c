#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

#define CLUSTER 4096

/* A filled disk of 4 MiB (two L2 tables), and where its tables lie. */
typedef struct Filled {
  BgChild *file;
  uint8_t *head;
  uint64_t l1, l2, reftable, block;
} Filled;

static Filled make(void)
{
  Filled f = {.file = image_create(4 << 20, "cluster_size=4096,preallocation=metadata", NULL, NULL)};
  f.head = mem_child_data(f.file);
  f.l1 = qcow2_get64(f.head + QCOW2_H_L1_OFFSET);
  f.l2 = qcow2_get64(f.head + f.l1) & QCOW2_OFFSET_MASK;
  f.reftable = qcow2_get64(f.head + QCOW2_H_REFTABLE_OFFSET);
  f.block = qcow2_get64(f.head + f.reftable);
  return f;
}

/* Data is said to lie where metadata does: reads go on, a write is EIO, the image is marked and takes no writer any more. */
static void assert_write_refused(unsigned which)
{
  Filled f = make();
  const uint64_t victims[] = {0, f.l1, f.l2, f.l2 + CLUSTER, f.reftable, f.block};
  g_autofree uint8_t *before = NULL;
  qcow2_put64(f.head + f.l2 + 5 * 8, victims[which] | QCOW2_COPIED);
  Image *image = image_open_writable(f.file, NULL, NULL, 0);
  if (victims[which] == 0) { /* an entry of zero is a hole; the header cannot be named so */
    image_close(image);
    mem_child_free(f.file);
    return;
  }
  before = g_memdup2(f.head + victims[which], CLUSTER);
  uint8_t bytes[CLUSTER];
  memset(bytes, 0x99, sizeof bytes);
  cr_assert_eq(image_read(image, bytes, CLUSTER, 5 * CLUSTER), 0);
  cr_assert_eq(image_write(image, bytes, 10, 5 * CLUSTER), -EIO);
  cr_assert_eq(image_corruptions(image), 1);
  cr_assert_not_null(strstr(image_last_event(image), "overlaps metadata"));
  cr_assert_eq(memcmp(before, f.head + victims[which], CLUSTER), 0);
  cr_assert(qcow2_get64(f.head + QCOW2_H_INCOMPATIBLE) & QCOW2_INCOMPAT_CORRUPT);
  cr_assert_eq(image_write(image, bytes, 10, 9 * CLUSTER), -EIO, "no more changes anywhere");
  cr_assert_eq(image_zero(image, 0, CLUSTER, BG_ZERO_NONE), -EIO);
  cr_assert_eq(image_read(image, bytes, CLUSTER, 9 * CLUSTER), 0);
  cr_assert(image_set_writable(image, false, NULL));
  g_autoptr(GError) error = NULL;
  cr_assert_not(image_set_writable(image, true, &error));
  cr_assert_eq(error->code, EROFS);
  image_close(image);
  mem_child_free(f.file);
}

Test(qcow2_overlap, data_over_metadata)
{
  for (unsigned which = 0; which < 6; which++)
    assert_write_refused(which);
}

/* A zero cluster that kept its space is written there, but not over metadata. */
Test(qcow2_overlap, kept_space_over_metadata)
{
  Filled f = make();
  qcow2_put64(f.head + f.l2 + 5 * 8, f.l1 | QCOW2_COPIED | QCOW2_ZERO);
  Image *image = image_open_writable(f.file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, 5 * CLUSTER), -EIO);
  cr_assert_eq(image_corruptions(image), 1);
  image_close(image);
  mem_child_free(f.file);
}

/* Where refcounts say that metadata is free, nothing is allocated over it. */
Test(qcow2_overlap, metadata_without_refcount)
{
  Filled f = make();
  const uint64_t victims[] = {f.l1, f.l2, f.reftable, f.block};
  mem_child_free(f.file);
  for (unsigned i = 0; i < G_N_ELEMENTS(victims); i++) {
    f = make();
    qcow2_put16(f.head + f.block + victims[i] / CLUSTER * 2, 0);
    g_autofree uint8_t *before = g_memdup2(f.head + victims[i], CLUSTER);
    qcow2_put64(f.head + f.l2 + 5 * 8, 0);
    g_autofree uint8_t *l2 = g_memdup2(f.head + f.l2, CLUSTER);
    if (victims[i] == f.l2)
      memcpy(before, l2, CLUSTER);
    Image *image = image_open_writable(f.file, NULL, NULL, 0);
    cr_assert_eq(image_write(image, "x", 1, 5 * CLUSTER), -EIO);
    cr_assert_eq(image_corruptions(image), 1);
    image_close(image);
    cr_assert_eq(memcmp(before, f.head + victims[i], CLUSTER), 0);
    mem_child_free(f.file);
  }
}

static void assert_no_writer(Filled *f, const char *says)
{
  g_autoptr(GError) error = NULL;
  Image *image = image_open(f->file, NULL, NULL, 0, NULL);
  cr_assert_not_null(image);
  cr_assert_not(image_set_writable(image, true, &error), "%s", says);
  cr_assert_eq(error->code, EROFS);
  cr_assert_not_null(strstr(error->message, says), "%s", error->message);
  image_close(image);
  mem_child_free(f->file);
}

/* Metadata that shares its place with other metadata is found before the first write. */
Test(qcow2_overlap, metadata_over_metadata)
{
  Filled f = make();
  qcow2_put64(f.head + f.l1 + 8, f.l2 | QCOW2_COPIED);
  assert_no_writer(&f, "L2 table at");
  f = make();
  qcow2_put64(f.head + f.l1, f.l1 | QCOW2_COPIED);
  assert_no_writer(&f, "overlaps other metadata");
  f = make();
  qcow2_put64(f.head + f.reftable + 8, f.l1);
  assert_no_writer(&f, "refcount block at");
  f = make();
  qcow2_put64(f.head + f.reftable + 8, 512);
  assert_no_writer(&f, "impossible offset");
  f = make();
  qcow2_put64(f.head + f.reftable + 8, UINT64_C(1) << 50);
  assert_no_writer(&f, "impossible offset");
}

/* What was in use with a refcount of zero shows when it is freed. */
Test(qcow2_overlap, refcount_of_zero_in_use)
{
  Filled f = make();
  uint64_t data = qcow2_get64(f.head + f.l2) & QCOW2_OFFSET_MASK;
  Image *image = image_open_writable(f.file, NULL, NULL, 0);
  qcow2_put16(f.head + f.block + data / CLUSTER * 2, 0);
  cr_assert_eq(image_zero(image, 0, CLUSTER, BG_ZERO_MAY_UNMAP), 0);
  image_flush(image);
  cr_assert_eq(image_corruptions(image), 1);
  cr_assert_not_null(strstr(image_last_event(image), "refcount of zero"));
  cr_assert_eq(image_write(image, "x", 1, 0), -EIO);
  image_close(image);
  mem_child_free(f.file);
}
