#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { CLUSTER = 4096 };
#define SIZE ((uint64_t)1 << 20)

/* An image whose disk held `then` when its snapshot "1" was taken. */
typedef struct Fixture {
  const BgDriver *driver, *view;
  BgChild *file;
  Image *image;
  uint8_t *then;
  void *shown;
} Fixture;

static Fixture begin(void)
{
  Fixture f = {.driver = bg_driver_find("qcow2"), .file = image_create(SIZE, "cluster_size=4096", NULL, NULL)};
  f.view = f.driver->view;
  f.image = image_open_writable(f.file, NULL, NULL, 0);
  f.then = g_malloc0(SIZE);
  memset(f.then, 0x17, SIZE / 2);
  cr_assert_eq(image_write(f.image, f.then, SIZE / 2, 0), 0);
  cr_assert(f.driver->snapshot_create(image_instance(f.image), "then", NULL));
  f.shown = f.driver->view_open(image_instance(f.image), "1");
  cr_assert_not_null(f.shown);
  return f;
}

static void end(Fixture *f)
{
  f->view->close(f->shown);
  image_close(f->image);
  mem_child_free(f->file);
  g_free(f->then);
}

static int first_extent(const Fixture *f, BgExtent *extent)
{
  return f->view->map(f->shown, 0, SIZE, extent);
}

/* As the core tells a node that somebody has it open, or nobody any more. */
static void change(const Fixture *f, BgPerm perm)
{
  const BgMode mode = {.perm = perm, .shared = BG_PERM_ALL};
  void *pending = NULL;
  cr_assert(f->view->change_open(f->shown, &mode, NULL, &pending, NULL));
  f->view->change_commit(f->shown, pending);
}

Test(qcow2_view, shows_what_was)
{
  Fixture f = begin();
  g_autofree uint8_t *now = g_malloc(SIZE / 2), *seen = g_malloc(SIZE / 2);
  BgExtent extent;
  memset(now, 0x99, SIZE / 2);
  cr_assert_eq(image_write(f.image, now, SIZE / 2, 0), 0);
  for (uint64_t at = 0; at < SIZE / 2; at += extent.length) {
    cr_assert_eq(f.view->map(f.shown, at, SIZE / 2 - at, &extent), 0);
    cr_assert_eq(extent.kind, BG_EXTENT_DATA);
    cr_assert_eq(extent.flags, 0, "nobody writes there");
    cr_assert_eq(bg_child_pread(extent.child, seen + at, extent.length, extent.offset), 0);
  }
  cr_assert_arr_eq(seen, f.then, SIZE / 2);
  cr_assert_eq(f.view->map(f.shown, SIZE / 2, SIZE / 2, &extent), 0);
  cr_assert_eq(extent.kind, BG_EXTENT_BACKING);
  cr_assert_eq(extent.length, SIZE / 2);
  end(&f);
}

Test(qcow2_view, keeps_its_size)
{
  Fixture f = begin();
  cr_assert_eq(image_resize(f.image, 4 * SIZE), 0);
  cr_assert_eq(f.view->size(f.shown), (int64_t)SIZE);
  cr_assert_eq(image_size(f.image), 4 * SIZE);
  end(&f);
}

/* The table is read by the first data call, and once, as long as somebody has the view open. */
Test(qcow2_view, reads_its_table_late_and_once)
{
  Fixture f = begin();
  BgExtent extent;
  mem_child_reset_counts(f.file);
  void *other = f.driver->view_open(image_instance(f.image), "1");
  change(&f, BG_PERM_CONSISTENT_READ);
  cr_assert_eq(f.view->size(other), (int64_t)SIZE);
  cr_assert_eq(mem_child_count(f.file, MEM_PREADV), 0);
  cr_assert_eq(first_extent(&f, &extent), 0);
  uint64_t reads = mem_child_count(f.file, MEM_PREADV);
  cr_assert_gt(reads, 0);
  cr_assert_eq(first_extent(&f, &extent), 0);
  cr_assert_eq(mem_child_count(f.file, MEM_PREADV), reads);
  change(&f, BG_PERM_NONE);
  change(&f, BG_PERM_CONSISTENT_READ);
  cr_assert_eq(first_extent(&f, &extent), 0);
  cr_assert_gt(mem_child_count(f.file, MEM_PREADV), reads, "forgotten when nobody had it open");
  f.view->close(other);
  end(&f);
}

Test(qcow2_view, a_failing_table_fails_the_call_only)
{
  Fixture f = begin();
  BgExtent extent;
  mem_child_fail(f.file, MEM_PREADV, 1, EIO, false);
  cr_assert_eq(first_extent(&f, &extent), -EIO);
  cr_assert_eq(first_extent(&f, &extent), 0);
  cr_assert_eq(image_corruptions(f.image), 0);
  end(&f);
}

Test(qcow2_view, outlives_other_snapshots)
{
  Fixture f = begin();
  BgExtent before, after;
  cr_assert_eq(first_extent(&f, &before), 0);
  cr_assert(f.driver->snapshot_create(image_instance(f.image), "second", NULL));
  cr_assert(f.driver->snapshot_apply(image_instance(f.image), "2", NULL));
  cr_assert(f.driver->snapshot_delete(image_instance(f.image), "2", NULL));
  cr_assert_eq(first_extent(&f, &after), 0);
  cr_assert_eq(after.offset, before.offset);
  end(&f);
}

/* Gone, and then another one of the same id: neither is what was opened. */
Test(qcow2_view, is_stale_when_its_snapshot_is_gone)
{
  Fixture f = begin();
  BgExtent extent = {.length = 77};
  cr_assert_eq(first_extent(&f, &extent), 0);
  cr_assert(f.driver->snapshot_delete(image_instance(f.image), "1", NULL));
  extent.length = 77;
  cr_assert_eq(first_extent(&f, &extent), -ESTALE);
  cr_assert(f.driver->snapshot_create(image_instance(f.image), "other", NULL));
  cr_assert_eq(first_extent(&f, &extent), -ESTALE);
  cr_assert_eq(extent.length, 77);
  struct iovec iov = {f.then, CLUSTER};
  cr_assert_eq(f.view->preadv_special(f.shown, &iov, 1, 0), -ESTALE);
  cr_assert_eq(f.view->size(f.shown), (int64_t)SIZE);
  end(&f);
}

Test(qcow2_view, takes_nothing_while_nobody_has_it_open)
{
  Fixture f = begin();
  BgPerm perm = BG_PERM_ALL, shared = BG_PERM_NONE;
  f.view->child_perm(f.shown, NULL, false, BG_PERM_NONE, BG_PERM_ALL, &perm, &shared);
  cr_assert(perm == BG_PERM_NONE && shared == BG_PERM_ALL);
  f.view->child_perm(f.shown, NULL, false, BG_PERM_CONSISTENT_READ, BG_PERM_NONE, &perm, &shared);
  cr_assert(perm == BG_PERM_CONSISTENT_READ && shared == BG_PERM_ALL, "the disk may be written beside");
  end(&f);
}

typedef struct Collector {
  BgInfo info;
  char *text;
} Collector;

static void add(BgInfo *info, const char *name, GVariant *value)
{
  g_autoptr(GVariant) owned = g_variant_ref_sink(value);
  ((Collector *)info)->text = g_strdup_printf("%s=%s", name, g_variant_get_string(owned, NULL));
}

Test(qcow2_view, tells_its_id)
{
  Fixture f = begin();
  Collector collector = {{add}, NULL};
  f.view->info(f.shown, &collector.info);
  cr_assert_str_eq(collector.text, "snapshot-id=1");
  g_free(collector.text);
  end(&f);
}

/* A size that no file can have comes from a false entry. */
Test(qcow2_view, of_an_impossible_size)
{
  Fixture f = begin();
  f.view->close(f.shown);
  image_close(f.image);
  uint8_t *head = mem_child_data(f.file), *entry = head + qcow2_get64(head + QCOW2_H_SNAPSHOTS_OFFSET);
  qcow2_put64(entry + 48, UINT64_C(1) << 63);
  Image *image = image_open(f.file, NULL, NULL, 0, NULL);
  cr_assert_not_null(image);
  cr_assert_null(f.driver->view_open(image_instance(image), "1"));
  image_close(image);
  mem_child_free(f.file);
  g_free(f.then);
}
