#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

typedef struct Shape {
  char options[64];
  uint64_t size;
  bool backing;
} Shape;

static Shape shapes[] = {
    {"cluster_size=512", 400 << 10, false},
    {"cluster_size=512,refcount_bits=2", 100 << 10, false},
    {"cluster_size=512,refcount_bits=64", 400 << 10, true},
    {"cluster_size=4096", 1 << 20, true},
    {"cluster_size=4096,compat=0.10", 1 << 20, false},
    {"cluster_size=16384,extended_l2=on", 1 << 20, true},
    {"cluster_size=65536,refcount_bits=8", 2 << 20, false},
    {"cluster_size=4096,lazy_refcounts=on", 1 << 20, false},
};

static const BgDriver *driver(void)
{
  return bg_driver_find("qcow2");
}

static bool take(Image *image, const char *name)
{
  return driver()->snapshot_create(image_instance(image), name, NULL);
}

static bool apply(Image *image, const char *id)
{
  return driver()->snapshot_apply(image_instance(image), id, NULL);
}

static bool delete (Image *image, const char *id)
{
  return driver()->snapshot_delete(image_instance(image), id, NULL);
}

/* The ids in order, with commas between. */
static char *ids(Image *image)
{
  g_autoptr(GPtrArray) list = driver()->snapshots(image_instance(image), SIZE_MAX, NULL);
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < list->len; i++)
    g_string_append_printf(text, "%s%s", i ? "," : "", ((BgSnapshot *)list->pdata[i])->id);
  return g_string_free(text, FALSE);
}

static void assert_ids(Image *image, const char *expected)
{
  g_autofree char *text = ids(image);
  cr_assert_str_eq(text, expected);
}

/* Reads one extent of a view as the core does. */
static void read_extent(const BgDriver *view, void *instance, const BgExtent *extent, const uint8_t *backing,
                        uint8_t *out, uint64_t offset)
{
  struct iovec iov = {out, extent->length};
  cr_assert_eq(extent->flags & BG_EXTENT_IN_PLACE, 0);
  memset(out, 0, extent->length);
  if (extent->kind == BG_EXTENT_DATA)
    cr_assert_eq(bg_child_pread(extent->child, out, extent->length, extent->offset), 0);
  else if (extent->kind == BG_EXTENT_SPECIAL)
    cr_assert_eq(view->preadv_special(instance, &iov, 1, offset), 0);
  else if (extent->kind == BG_EXTENT_BACKING && backing)
    memcpy(out, backing + offset, extent->length);
}

/* Asserts that the snapshot is of that size and reads as `expected`. `backing` is as long as any disk here. */
static void assert_view(Image *image, const char *id, const uint8_t *backing, const uint8_t *expected, uint64_t size)
{
  const BgDriver *view = driver()->view;
  void *instance = driver()->view_open(image_instance(image), id);
  cr_assert_not_null(instance);
  cr_assert_eq(view->size(instance), (int64_t)size);
  g_autofree uint8_t *seen = g_malloc(size);
  BgExtent extent;
  for (uint64_t at = 0; at < size; at += extent.length) {
    cr_assert_eq(view->map(instance, at, size - at, &extent), 0);
    read_extent(view, instance, &extent, backing, seen + at, at);
  }
  cr_assert_arr_eq(seen, expected, size);
  view->close(instance);
}

static uint8_t *make_backing(const Shape *shape, const char **name)
{
  *name = NULL;
  if (!shape->backing)
    return NULL;
  uint8_t *backing = g_malloc(shape->size);
  memset(backing, 0x55, shape->size);
  image_put_file("base.raw", backing, shape->size);
  *name = "base.raw";
  return backing;
}

static void scribble(Image *image, GRand *random, uint8_t *shadow, uint64_t size, int writes)
{
  for (int i = 0; i < writes; i++) {
    uint8_t bytes[9000];
    memset(bytes, g_rand_int_range(random, 1, 256), sizeof bytes);
    uint64_t at = g_rand_double_range(random, 0, size), length = MIN(sizeof bytes, size - at);
    cr_assert_eq(image_write(image, bytes, length, at), 0);
    memcpy(shadow + at, bytes, length);
  }
}

ParameterizedTestParameters(qcow2_snapshot, come_and_go)
{
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

/* Three snapshots at different times, one taken again and again, applied and deleted; after each round both judges look. */
ParameterizedTest(Shape *shape, qcow2_snapshot, come_and_go, .timeout = 120)
{
  const char *name;
  uint64_t size = shape->size;
  g_autofree uint8_t *backing = make_backing(shape, &name), *first = NULL, *second = NULL;
  g_autofree uint8_t *shadow = backing ? g_memdup2(backing, size) : g_malloc0(size);
  g_autoptr(GRand) random = g_rand_new_with_seed(11);
  g_autoptr(BgChild) file = image_create(size, shape->options, name, NULL);
  Image *image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", backing, size);
  scribble(image, random, shadow, size, 20);
  cr_assert(take(image, "first"));
  first = g_memdup2(shadow, size);
  scribble(image, random, shadow, size, 5);
  cr_assert_eq(image_zero(image, 0, size / 4 & ~UINT64_C(65535), BG_ZERO_MAY_UNMAP), 0);
  memset(shadow, 0, size / 4 & ~UINT64_C(65535));
  cr_assert(take(image, "second"));
  second = g_memdup2(shadow, size);
  assert_ids(image, "1,2");
  for (int round = 0; round < 6; round++) {
    scribble(image, random, shadow, size, 4);
    if (round % 3 == 1) {
      cr_assert(apply(image, round == 1 ? "1" : "2"));
      memcpy(shadow, round == 1 ? first : second, size);
    } else if (round == 3) {
      cr_assert(delete (image, "1"));
    }
    if (round < 3)
      assert_view(image, "1", backing, first, size);
    assert_view(image, "2", backing, second, size);
    image_assert_content(image, shadow, size);
    scribble(image, random, shadow, size, 1);
    cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
    image_close(image);
    image_assert_judged(file, shadow, size);
    image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", backing, size);
  }
  cr_assert(delete (image, "2"));
  assert_ids(image, "");
  image_assert_content(image, shadow, size);
  image_close(image);
  image_assert_judged(file, shadow, size);
}

/* ── what can go wrong ── */

typedef bool Operation(Image *image);

static bool take_third(Image *image)
{
  return take(image, "third");
}

static bool apply_first(Image *image)
{
  return apply(image, "1");
}

static bool delete_first(Image *image)
{
  return delete (image, "1");
}

static Operation *const operations[] = {take_third, apply_first, delete_first};

/* Used, with two snapshots. *first: what the disk was when the first was taken. */
static Image *make_used(BgChild **file, uint8_t **shadow, uint8_t **first, uint64_t size)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  *file = image_create(size, "cluster_size=512", NULL, NULL);
  *shadow = g_malloc0(size);
  Image *image = image_open_writable(*file, NULL, NULL, 0);
  scribble(image, random, *shadow, size, 8);
  cr_assert(take(image, "first"));
  *first = g_memdup2(*shadow, size);
  scribble(image, random, *shadow, size, 3);
  cr_assert(take(image, "second"));
  scribble(image, random, *shadow, size, 3);
  for (int i = 0; i < 3; i++) /* also what was freed by the one before */
    cr_assert_eq(image_flush(image), 0);
  return image;
}

/* Every call fails once, or all from some call on: nothing has changed, in memory or for the next who opens the image, and the same
 * works once the trouble is over. */
static void fail_at(Operation *operation, unsigned kinds, unsigned nth, bool lasting, bool *reached)
{
  const uint64_t size = 100 << 10;
  g_autofree uint8_t *shadow = NULL, *first = NULL;
  BgChild *made;
  Image *image = make_used(&made, &shadow, &first, size);
  g_autoptr(BgChild) file = made;
  mem_child_fail(file, kinds, nth, EIO, lasting);
  bool done = operation(image);
  *reached = mem_child_has_failed(file);
  mem_child_fail(file, 0, 0, 0, false);
  if (*reached && !done) {
    image_assert_content(image, shadow, size);
    assert_ids(image, "1,2");
    assert_view(image, "1", NULL, first, size);
    image_assert_sound(file, false);
    cr_assert(operation(image));
  } else {
    cr_assert(done);
  }
  if (operation == apply_first)
    memcpy(shadow, first, size);
  image_assert_content(image, shadow, size);
  image_close(image);
  image_assert_sound(file, false);
  image = image_open(file, NULL, NULL, 0, NULL);
  image_assert_content(image, shadow, size);
  assert_ids(image, operation == take_third ? "1,2,3" : operation == apply_first ? "1,2" : "2");
  image_close(image);
}

Test(qcow2_snapshot, failures, .timeout = 120)
{
  static const unsigned kinds[] = {MEM_PREADV, MEM_PWRITEV, MEM_FLUSH};
  for (unsigned which = 0; which < G_N_ELEMENTS(operations); which++)
    for (unsigned kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
      bool reached = true;
      for (unsigned nth = 1; reached; nth += 1 + nth / 10)
        fail_at(operations[which], kinds[kind], nth, false, &reached);
    }
}

/* Not even the old header can be written again: nobody knows what the disk says, and no cluster of either state is written over before it
 * says the old one. */
Test(qcow2_snapshot, lasting_failures, .timeout = 120)
{
  const uint64_t size = 100 << 10;
  for (unsigned which = 0; which < G_N_ELEMENTS(operations); which++)
    for (unsigned kinds = MEM_PWRITEV; kinds <= MEM_FLUSH; kinds += MEM_FLUSH - MEM_PWRITEV) {
      bool reached = true;
      for (unsigned nth = 1; reached; nth += 1 + nth / 10) {
        g_autofree uint8_t *shadow = NULL, *first = NULL;
        BgChild *made;
        Image *image = make_used(&made, &shadow, &first, size);
        g_autoptr(BgChild) file = made;
        mem_child_fail(file, kinds, nth, EIO, true);
        bool done = operations[which](image);
        reached = mem_child_has_failed(file);
        mem_child_fail(file, 0, 0, 0, false);
        if (done && operations[which] == apply_first)
          memcpy(shadow, first, size);
        image_assert_sound(file, false);
        image_assert_content(image, shadow, size);
        g_autoptr(GRand) random = g_rand_new_with_seed(nth);
        scribble(image, random, shadow, size, 10);
        image_assert_sound(file, true);
        cr_assert_eq(image_flush(image), 0);
        image_kill(image);
        image_assert_sound(file, true);
        image = image_open_writable(file, NULL, NULL, 0);
        image_assert_content(image, shadow, size);
        image_close(image);
      }
    }
}

/* A power cut behind every call that writes, with all of what came before it or with what was flushed only: the disk is what it was or
 * what it was to be, the image sound, without as much as a leak. */
static bool keep_flushed(size_t index, void *data)
{
  return index < *(size_t *)data;
}

static void judge_cut(BgChild *file, size_t cut, size_t flushed, const uint8_t *old, const uint8_t *new, uint64_t size)
{
  g_autoptr(BgChild) whole = mem_child_replay(file, cut, NULL, NULL);
  g_autoptr(BgChild) least = mem_child_replay(file, cut, keep_flushed, &flushed);
  BgChild *states[] = {whole, least};
  for (unsigned i = 0; i < 2; i++) {
    g_autofree uint8_t *seen = g_malloc(size);
    image_assert_sound(states[i], false);
    Image *image = image_open(states[i], NULL, NULL, 0, NULL);
    cr_assert_not_null(image);
    cr_assert_eq(image_read(image, seen, size, 0), 0);
    cr_assert(memcmp(seen, old, size) == 0 || memcmp(seen, new, size) == 0);
    image_close(image);
  }
}

Test(qcow2_snapshot, power_cuts, .timeout = 120)
{
  const uint64_t size = 100 << 10;
  for (unsigned which = 0; which < G_N_ELEMENTS(operations); which++) {
    g_autofree uint8_t *shadow = NULL, *first = NULL;
    BgChild *made;
    Image *image = make_used(&made, &shadow, &first, size);
    g_autoptr(BgChild) file = made;
    mem_child_record(file);
    cr_assert(operations[which](image));
    const uint8_t *new = operations[which] == apply_first ? first : shadow;
    for (size_t cut = 0, flushed = 0; cut <= mem_child_record_length(file); cut++) {
      if (cut && mem_child_record_is_flush(file, cut - 1))
        flushed = cut;
      judge_cut(file, cut, flushed, shadow, new, size);
    }
    image_close(image);
  }
}

/* ── limits of the format ── */

Test(qcow2_snapshot, narrow_refcounts)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=4096,refcount_bits=1", NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert(take(image, "of nothing"));
  cr_assert(delete (image, "1"));
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  g_autoptr(GError) error = NULL;
  cr_assert_not(driver()->snapshot_create(image_instance(image), "x", &error));
  cr_assert_eq(error->code, EOVERFLOW);
  cr_assert_not_null(strstr(error->message, "1 bits"));
  assert_ids(image, "");
  image_close(image);
  image_assert_sound(file, false);
}

Test(qcow2_snapshot, sizes_come_back)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=4096", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc(4 << 20);
  memset(shadow, 0x77, 4 << 20);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, shadow, 1 << 20, 0), 0);
  cr_assert(take(image, "small"));
  cr_assert_eq(image_resize(image, 4 << 20), 0);
  cr_assert_eq(image_write(image, shadow, 4 << 20, 0), 0);
  cr_assert(take(image, "large"));
  cr_assert(apply(image, "1"));
  cr_assert_eq(image_size(image), 1 << 20);
  assert_view(image, "2", NULL, shadow, 4 << 20);
  image_assert_content(image, shadow, 1 << 20);
  cr_assert(apply(image, "2"));
  cr_assert_eq(image_size(image), 4 << 20);
  image_close(image);
  image_assert_judged(file, shadow, 4 << 20);
}

Test(qcow2_snapshot, false_arguments)
{
  g_autofree char *long_name = g_strnfill(256, 'n');
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_not(take(image, ""));
  cr_assert_not(take(image, long_name));
  cr_assert(take(image, long_name + 1));
  cr_assert(take(image, long_name + 1));
  assert_ids(image, "1,2");
  cr_assert_not(apply(image, "3"));
  cr_assert_not(delete (image, "3"));
  cr_assert_null(driver()->view_open(image_instance(image), "3"));
  image_close(image);
}

/* What other programs keep in their entries stays as it is. */
Test(qcow2_snapshot, foreign_entries_are_kept)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert(take(image, "a"));
  cr_assert(take(image, "b"));
  image_close(image);
  uint8_t *head = mem_child_data(file), *entry = head + qcow2_get64(head + QCOW2_H_SNAPSHOTS_OFFSET);
  uint8_t foreign[200];
  memmove(entry + 200, entry + 72, 72); /* the second */
  memset(entry + 64, 0xee, 136);
  qcow2_put32(entry + 36, 200 - 40 - 3 - 5);
  memcpy(entry + 192, "1aa", 3);
  qcow2_put16(entry + 14, 2);
  memcpy(foreign, entry, sizeof foreign);
  image = image_open_writable(file, NULL, NULL, 0);
  cr_assert(take(image, "c"));
  cr_assert(delete (image, "2"));
  image_close(image);
  head = mem_child_data(file);
  entry = head + qcow2_get64(head + QCOW2_H_SNAPSHOTS_OFFSET);
  cr_assert_arr_eq(entry, foreign, sizeof foreign);
  image_assert_sound(file, false);
}

/* A snapshot that QEMU took. */
Test(qcow2_snapshot, foreign_snapshots, .timeout = 60)
{
  g_autoptr(BgChild) file = image_require_shell("cd $1; qemu-img create -q -f qcow2 out 4M;"
                                                "qemu-io -c 'write -P 1 0 4M' out >o 2>&1;"
                                                "qemu-img snapshot -c one out; qemu-io -c 'write -P 2 0 4M' out >o");
  g_autofree uint8_t *one = g_malloc(4 << 20), *two = g_malloc(4 << 20);
  memset(one, 1, 4 << 20);
  memset(two, 2, 4 << 20);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  assert_view(image, "1", NULL, one, 4 << 20);
  cr_assert(take(image, "two"));
  cr_assert(apply(image, "1"));
  assert_view(image, "2", NULL, two, 4 << 20);
  cr_assert(delete (image, "2"));
  image_close(image);
  image_assert_judged(file, one, 4 << 20);
}

/* Compressed clusters share the file's clusters, which a snapshot then counts once more for each. */
Test(qcow2_snapshot, compressed_clusters, .timeout = 60)
{
  enum { CLUSTER = 4096, SIZE = 1 << 20 };
  g_autoptr(BgChild) file = image_create(SIZE, "cluster_size=4096", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(SIZE), *first = NULL;
  Image *image = image_open_writable(file, NULL, NULL, 0);
  for (uint64_t at = 0; at < SIZE / 2; at += CLUSTER) {
    memset(shadow + at, (int)(at / CLUSTER) + 1, CLUSTER);
    cr_assert_eq(image_write_special(image, shadow + at, CLUSTER, at), 0);
  }
  cr_assert(take(image, "first"));
  first = g_memdup2(shadow, SIZE);
  for (uint64_t at = 0; at < SIZE / 2; at += 3 * CLUSTER) {
    memset(shadow + at, 0xee, CLUSTER);
    cr_assert_eq(at % 2 ? image_write(image, shadow + at, CLUSTER, at)
                        : image_write_special(image, shadow + at, CLUSTER, at),
                 0);
  }
  assert_view(image, "1", NULL, first, SIZE);
  image_assert_content(image, shadow, SIZE);
  cr_assert(take(image, "second"));
  cr_assert(apply(image, "1"));
  image_assert_content(image, first, SIZE);
  assert_view(image, "2", NULL, shadow, SIZE);
  cr_assert(delete (image, "1"));
  cr_assert(apply(image, "2"));
  cr_assert(delete (image, "2"));
  image_close(image);
  image_assert_judged(file, shadow, SIZE);
}

/* A snapshot whose VM state lies behind a disk that is smaller than it: its tables reach beyond the disk's. */
static void vm_state_beyond_the_disk(const char *options)
{
  enum { DISK = 1 << 20, VM_STATE = 3 << 20, ALL = DISK + VM_STATE };
  g_autoptr(BgChild) file = image_create(ALL, options, NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(ALL);
  memset(shadow, 0x11, DISK);
  memset(shadow + DISK, 0x99, VM_STATE);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, shadow, ALL, 0), 0);
  cr_assert(take(image, "running"));
  image_close(image);
  uint8_t *head = mem_child_data(file), *entry = head + qcow2_get64(head + QCOW2_H_SNAPSHOTS_OFFSET);
  qcow2_put32(entry + 32, VM_STATE);
  qcow2_put64(entry + 40, VM_STATE);
  qcow2_put64(entry + 48, DISK);
  image = image_open_writable(file, NULL, NULL, 0);
  assert_view(image, "1", NULL, shadow, DISK);
  cr_assert_eq(image_resize(image, DISK), 0);
  memset(shadow, 0x22, DISK);
  cr_assert_eq(image_write(image, shadow, DISK, 0), 0);
  cr_assert(take(image, "disk"));
  memset(shadow, 0x11, DISK);
  cr_assert(apply(image, "1"));
  cr_assert_eq(image_size(image), DISK);
  image_assert_content(image, shadow, DISK);
  image_assert_sound(file, true);
  cr_assert_eq(image_resize(image, ALL), 0);
  memset(shadow + DISK, 0, VM_STATE);
  image_assert_content(image, shadow, ALL);
  cr_assert(delete (image, "1"));
  cr_assert(delete (image, "2"));
  image_assert_content(image, shadow, ALL);
  image_close(image);
  image_assert_judged(file, shadow, ALL);
}

Test(qcow2_snapshot, vm_state_in_tables_of_its_own, .timeout = 60)
{
  vm_state_beyond_the_disk("cluster_size=512");
}

Test(qcow2_snapshot, vm_state_in_the_same_table, .timeout = 60)
{
  vm_state_beyond_the_disk("cluster_size=65536");
}

/* An L1 table that names one L2 table twice would be counted for ever. */
Test(qcow2_snapshot, looping_tables_are_refused)
{
  g_autoptr(BgChild) file = image_create(64 << 20, "cluster_size=4096", NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  cr_assert(take(image, "a"));
  image_close(image);
  uint8_t *head = mem_child_data(file), *l1 = head + qcow2_get64(head + qcow2_get64(head + QCOW2_H_SNAPSHOTS_OFFSET));
  memcpy(l1 + 8, l1, 8);
  image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_not(delete (image, "1"));
  cr_assert_eq(image_corruptions(image), 1);
  image_close(image);
}

/* It has no tables at all, of which nothing is copied, either. */
Test(qcow2_snapshot, of_an_empty_disk, .timeout = 30)
{
  g_autoptr(BgChild) file = image_create(0, "cluster_size=512", NULL, NULL);
  Image *image = image_open_writable(file, "", NULL, 0);
  cr_assert(take(image, "empty"));
  cr_assert(take(image, "empty, too"));
  cr_assert(apply(image, "1"));
  cr_assert(delete (image, "1"));
  assert_ids(image, "2");
  image_close(image);
  image_assert_sound(file, false);
}

/* The disk of a snapshot that is larger than its L1 table can be: one look at it must not take an age. */
Test(qcow2_snapshot, of_a_disk_without_end, .timeout = 10)
{
  g_autoptr(BgChild) file = image_create(64 << 10, "cluster_size=512", NULL, NULL);
  Image *image = image_open_writable(file, "", NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  cr_assert(take(image, "endless"));
  image_close(image);
  uint8_t *bytes = mem_child_data(file);
  const uint64_t size = UINT64_C(1) << 62, extra = qcow2_get64(bytes + QCOW2_H_SNAPSHOTS_OFFSET) + 40;
  qcow2_put64(bytes + extra + 8, size);
  image = image_open(file, NULL, NULL, 0, NULL);
  void *view = driver()->view_open(image_instance(image), "1");
  cr_assert_eq(driver()->view->size(view), (int64_t)size);
  BgExtent extent;
  cr_assert_eq(driver()->view->map(view, 32 << 10, size - (32 << 10), &extent), 0);
  cr_assert_eq(extent.kind, BG_EXTENT_BACKING);
  cr_assert_eq(extent.length, size - (32 << 10));
  driver()->view->close(view);
  image_close(image);
}
