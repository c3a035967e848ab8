#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/alloc.h"
#include "drivers/registry.h"

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

/* ── what the options choose ── */

enum { HEADER, L1, L2, REFTABLE, BLOCK, SNAPSHOTS, SNAPSHOT_L1, SNAPSHOT_L2, BITMAPS, BITMAP_TABLE, PLACES };

/* What is protected at each place, by name, and by which templates. */
static const struct {
  const char *option;
  bool constant, cached;
} classes[PLACES] = {
    [HEADER] = {"main-header", true, true},
    [L1] = {"active-l1", true, true},
    [L2] = {"active-l2", false, true},
    [REFTABLE] = {"refcount-table", true, true},
    [BLOCK] = {"refcount-block", false, true},
    [SNAPSHOTS] = {"snapshot-table", true, true},
    [SNAPSHOT_L1] = {"inactive-l1", false, true},
    [SNAPSHOT_L2] = {"inactive-l2", false, false},
    [BITMAPS] = {"bitmap-directory", true, true},
    [BITMAP_TABLE] = {"bitmap-directory", true, true},
};

/* A filled disk of 4 MiB with a snapshot, of which it shares no table, and a bitmap. */
typedef struct Rich {
  BgChild *file;
  uint64_t l2, places[PLACES];
} Rich;

static Rich make_rich(void)
{
  Rich r = {.file = image_require_shell("qemu-img create -q -f qcow2 -o cluster_size=4096 $1/out 4M && "
                                        "qemu-io -c 'write -q 0 4M' $1/out && qemu-img snapshot -c one $1/out && "
                                        "qemu-io -c 'write -q 0 4M' $1/out && qemu-img bitmap --add $1/out b")};
  Image *image = image_open(r.file, NULL, NULL, 0, NULL);
  const Qcow2 *q = image_instance(image);
  const uint8_t *head = mem_child_data(r.file);
  uint64_t reftable = qcow2_get64(head + QCOW2_H_REFTABLE_OFFSET), inactive = q->snapshots.list[0].l1_offset;
  const uint64_t places[PLACES] = {
      [L1] = q->l1_offset,
      [L2] = qcow2_entry_offset(q->active.l1[1]),
      [REFTABLE] = reftable,
      [BLOCK] = qcow2_get64(head + reftable),
      [SNAPSHOTS] = q->snapshots_offset,
      [SNAPSHOT_L1] = inactive,
      [SNAPSHOT_L2] = qcow2_entry_offset(qcow2_get64(head + inactive)),
      [BITMAPS] = q->bitmaps.offset,
      [BITMAP_TABLE] = q->bitmaps.list[0].table_offset,
  };
  memcpy(r.places, places, sizeof places);
  r.l2 = qcow2_entry_offset(q->active.l1[0]);
  image_close(image);
  return r;
}

/* Writes to a cluster of the disk that is said to lie at that place. */
static void assert_protected(unsigned place, const char *options, bool protected)
{
  Rich r = make_rich();
  uint8_t *head = mem_child_data(r.file), *at = head + r.places[place];
  qcow2_put64(head + r.l2 + 5 * 8, r.places[place] | QCOW2_COPIED);
  Image *image = image_open_writable(r.file, options, NULL, 0);
  g_autofree uint8_t *before = g_memdup2(at, CLUSTER);
  cr_assert_eq(image_write(image, "data", 4, 5 * CLUSTER), protected ? -EIO : 0, "%s: %s", classes[place].option,
               options);
  if (!protected)
    memcpy(before, "data", 4);
  cr_assert_arr_eq(before, at, CLUSTER);
  cr_assert_eq(image_corruptions(image), protected);
  cr_assert_eq(!!(qcow2_get64(head + QCOW2_H_INCOMPATIBLE) & QCOW2_INCOMPAT_CORRUPT), protected);
  image_kill(image);
  mem_child_free(r.file);
}

Test(qcow2_overlap, chosen_by_template, .timeout = 120)
{
  for (unsigned place = L1; place < PLACES; place++) {
    assert_protected(place, NULL, classes[place].cached);
    assert_protected(place, "overlap-check=cached", classes[place].cached);
    assert_protected(place, "overlap-check.template=constant", classes[place].constant);
    assert_protected(place, "overlap-check=none", false);
    assert_protected(place, "overlap-check=all", true);
  }
}

Test(qcow2_overlap, chosen_one_by_one, .timeout = 120)
{
  for (unsigned place = L1; place < PLACES; place++) {
    g_autofree char *on = g_strdup_printf("overlap-check=none,overlap-check.%s=on", classes[place].option);
    g_autofree char *off = g_strdup_printf("overlap-check.template=all,overlap-check.%s=off", classes[place].option);
    assert_protected(place, on, true);
    assert_protected(place, off, false);
  }
}

/* Free by its refcount, what nobody protects is taken for data; but never for metadata, nor is the header's cluster, which no entry can
 * name. */
Test(qcow2_overlap, free_by_refcount)
{
  for (unsigned place = HEADER; place <= BLOCK; place++)
    for (unsigned metadata = 0; metadata < 2; metadata++) {
      Rich r = make_rich();
      bool taken = !metadata && place != HEADER;
      uint8_t *head = mem_child_data(r.file);
      uint64_t l1 = r.places[L1], at = r.places[place], to = metadata && place != L2 ? 3 << 20 : 5 * CLUSTER;
      if (metadata && place == L2)
        to = 0;
      qcow2_put64(head + (metadata ? l1 + (to >> 21) * 8 : r.l2 + 5 * 8), 0);
      qcow2_put16(head + r.places[BLOCK] + at / CLUSTER * 2, 0);
      Image *image = image_open_writable(r.file, "overlap-check=none", NULL, 0);
      g_autofree uint8_t *before = g_memdup2(head + at, CLUSTER);
      uint8_t bytes[CLUSTER];
      memset(bytes, 0x42, sizeof bytes);
      cr_assert_eq(image_write(image, bytes, CLUSTER, to), taken ? 0 : -EIO, "%u %u", place, metadata);
      cr_assert_eq(image_corruptions(image), !taken);
      if (place != HEADER) /* that is marked */
        cr_assert_arr_eq((uint8_t *)mem_child_data(r.file) + at, taken ? bytes : before, CLUSTER);
      image_kill(image);
      mem_child_free(r.file);
    }
}

Test(qcow2_overlap, templates_that_differ)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  g_autoptr(GError) error = NULL;
  cr_assert_null(image_open(file, "overlap-check=cached,overlap-check.template=none", NULL, 0, &error));
  cr_assert_eq(error->code, EINVAL);
  cr_assert_not_null(strstr(error->message, "overlap-check.template"), "%s", error->message);
  image_close(image_open_writable(file, "overlap-check=none,overlap-check.template=none", NULL, 0));
}

/* Changes the options while it is writable; *typed is to be freed when the image is closed. */
static bool change_options(Image *image, const char *name, const char *value, void **typed, GError **error)
{
  const BgDriver *driver = bg_driver_find("qcow2");
  g_autoptr(BgDict) dict = bg_dict_new();
  BgMode mode = {.writable = true, .perm = BG_PERM_ALL, .shared = BG_PERM_ALL};
  void *pending;
  bg_dict_set(dict, name, value);
  *typed = g_malloc0(driver->options_size);
  cr_assert(bg_options_parse(driver->options, dict, *typed, NULL));
  cr_assert(driver->change_open(image_instance(image), &mode, *typed, &pending, error));
  bool good = driver->change_settle(image_instance(image), pending, error);
  (good ? driver->change_commit : driver->change_abort)(image_instance(image), pending);
  return good;
}

Test(qcow2_overlap, chosen_while_it_is_written)
{
  static const char *const values[] = {"all", "none", "cached", "all"};
  static const bool expected[][2] = {{true, true}, {false, false}, {true, false}, {true, true}};
  Rich r = make_rich();
  void *typed[4];
  Image *image = image_open_writable(r.file, NULL, NULL, 0);
  for (unsigned i = 0; i < 4; i++) {
    cr_assert(change_options(image, "overlap-check", values[i], &typed[i], NULL));
    cr_assert_eq(qcow2_is_metadata(image_instance(image), r.places[L2] / CLUSTER), expected[i][0]);
    cr_assert_eq(qcow2_is_metadata(image_instance(image), r.places[SNAPSHOT_L2] / CLUSTER), expected[i][1]);
  }
  cr_assert(image_set_writable(image, false, NULL));
  image_close(image);
  for (unsigned i = 0; i < 4; i++)
    g_free(typed[i]);
  mem_child_free(r.file);
}

/* ── the L2 tables of snapshots ── */

Test(qcow2_overlap, inactive_tables_follow_the_snapshots)
{
  const BgDriver *driver = bg_driver_find("qcow2");
  Filled f = make();
  Image *image = image_open_writable(f.file, "overlap-check=all", NULL, 0);
  const Qcow2 *q = image_instance(image);
  cr_assert(driver->snapshot_create(image_instance(image), "one", NULL));
  cr_assert_eq(qcow2_classes_of(q, f.l2 / CLUSTER), QCOW2_OVERLAP_INACTIVE_L2, "the disk has another one");
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  cr_assert_eq(image_flush(image), 0);
  cr_assert(qcow2_is_metadata(q, f.l2 / CLUSTER));
  cr_assert(driver->snapshot_delete(image_instance(image), "1", NULL));
  cr_assert_not(qcow2_classes_of(q, f.l2 / CLUSTER) & QCOW2_OVERLAP_INACTIVE_L2);
  cr_assert_eq(image_corruptions(image), 0);
  image_close(image);
  image_assert_sound(f.file, false);
  mem_child_free(f.file);
}

/* No writer comes in, but where nobody asked for that. */
static void assert_inactive_refused(Rich *r, int code, const char *says)
{
  g_autoptr(GError) error = NULL;
  Image *image = image_open(r->file, "overlap-check=all", NULL, 0, NULL);
  cr_assert_not(image_set_writable(image, true, &error), "%s", says);
  cr_assert_eq(error->code, code);
  cr_assert_not_null(strstr(error->message, says), "%s", error->message);
  image_close(image);
  image = image_open_writable(r->file, NULL, NULL, 0);
  void *typed;
  g_autoptr(GError) again = NULL;
  cr_assert_not(change_options(image, "overlap-check.inactive-l2", "on", &typed, &again));
  cr_assert_eq(again->code, code);
  cr_assert_eq(image_write(image, "x", 1, 8 * CLUSTER), 0, "as before");
  image_kill(image);
  g_free(typed);
  mem_child_free(r->file);
}

Test(qcow2_overlap, inactive_tables_over_metadata)
{
  static const unsigned places[] = {L1, REFTABLE, BLOCK, SNAPSHOTS, SNAPSHOT_L1, BITMAP_TABLE, L2};
  for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
    Rich r = make_rich();
    uint8_t *head = mem_child_data(r.file);
    qcow2_put64(head + r.places[SNAPSHOT_L1], r.places[places[i]]);
    assert_inactive_refused(&r, EROFS, "a snapshot's L2 table at");
  }
}

Test(qcow2_overlap, inactive_tables_that_cannot_be_read)
{
  Rich r = make_rich();
  g_autoptr(GError) error = NULL;
  Image *image = image_open(r.file, "overlap-check=all", NULL, 0, NULL);
  cr_assert(image_set_writable(image, true, NULL));
  mem_child_reset_counts(r.file);
  cr_assert(image_set_writable(image, false, NULL));
  mem_child_reset_counts(r.file);
  cr_assert(image_set_writable(image, true, NULL));
  unsigned reads = mem_child_count(r.file, MEM_PREADV);
  unsigned refused = 0;
  cr_assert(image_set_writable(image, false, NULL));
  for (unsigned i = 1; i <= reads; i++) {
    mem_child_fail(r.file, MEM_PREADV, i, EIO, false);
    bool good = image_set_writable(image, true, NULL);
    refused += !good;
    mem_child_fail(r.file, 0, 0, 0, false);
    if (good)
      cr_assert(image_set_writable(image, false, NULL));
  }
  cr_assert_geq(refused, 3);
  image_close(image);
  image_assert_sound(r.file, false);
  mem_child_free(r.file);
}

/* An image that says to have a thousand million tables is not believed for as long as it takes to read them. */
Test(qcow2_overlap, too_many_inactive_tables, .timeout = 120)
{
  enum { SNAPSHOT_COUNT = 33, L1_ENTRIES = 4 << 20 };
  const BgDriver *driver = bg_driver_find("qcow2");
  Rich r = {.file = image_create(1 << 20, "cluster_size=4096", NULL, NULL)};
  Image *image = image_open_writable(r.file, NULL, NULL, 0);
  for (unsigned i = 0; i < SNAPSHOT_COUNT; i++)
    cr_assert(driver->snapshot_create(image_instance(image), "x", NULL));
  image_close(image);
  uint64_t end = ((uint64_t)r.file->ops->size(r.file) + CLUSTER - 1) & ~(uint64_t)(CLUSTER - 1);
  cr_assert_eq(r.file->ops->resize(r.file, end + L1_ENTRIES * UINT64_C(8)), 0);
  image = image_open(r.file, NULL, NULL, 0, NULL);
  const Qcow2 *q = image_instance(image);
  for (unsigned i = 0; i < SNAPSHOT_COUNT; i++) {
    uint8_t *entry = mem_child_data(r.file) + q->snapshots_offset + q->snapshots.list[i].at;
    qcow2_put64(entry, end);
    qcow2_put32(entry + 8, L1_ENTRIES);
  }
  image_close(image);
  assert_inactive_refused(&r, EFBIG, "too many tables");
}
