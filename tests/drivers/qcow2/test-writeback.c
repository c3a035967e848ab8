#include "tests/drivers/qcow2/image.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

#define SECTOR 512

typedef struct Shape {
  char options[96];
  uint64_t size;
  bool backing;
  unsigned snapshots; /* made by qemu-img beforehand */
} Shape;

/* What the disk held after each request, and how much was recorded by then. */
typedef struct Moment {
  size_t record;
  bool flushed;
  uint8_t *content;
} Moment;

static void clear_moment(void *moment)
{
  g_free(((Moment *)moment)->content);
}

static void remember(GArray *history, BgChild *file, const uint8_t *shadow, uint64_t size, bool flushed)
{
  Moment moment = {mem_child_record_length(file), flushed, g_memdup2(shadow, size)};
  g_array_append_val(history, moment);
}

static void fill(GRand *random, uint8_t *bytes, uint64_t length)
{
  for (uint64_t i = 0; i < length; i += SECTOR)
    memset(bytes + i, g_rand_int_range(random, 1, 256), MIN(SECTOR, length - i));
}

/* A request at random; true if it was a flush that worked. Failed requests may have done a part of their work. */
static bool request(Image *image, GRand *random, uint8_t *shadow, uint64_t size, bool *failed)
{
  uint64_t cluster = image_granularity(image), most = MAX(cluster * 2, 8 * SECTOR);
  uint64_t offset = (uint64_t)g_rand_double_range(random, 0, size / SECTOR) * SECTOR;
  uint64_t length = (uint64_t)g_rand_double_range(random, 1, most / SECTOR + 1) * SECTOR;
  length = MIN(length, size - offset);
  uint64_t start = offset & ~(cluster - 1), end = MIN((offset + length + cluster - 1) & ~(cluster - 1), size);
  unsigned kind = g_rand_int_range(random, 0, 20);
  int r;
  if (kind < 11) {
    g_autofree uint8_t *bytes = g_malloc(length);
    fill(random, bytes, length);
    r = image_write(image, bytes, length, offset);
    if (r == 0)
      memcpy(shadow + offset, bytes, length);
  } else if (kind < 15) {
    r = image_zero(image, start, end - start, kind & 1 ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE);
    if (r == 0)
      memset(shadow + start, 0, end - start);
  } else if (kind < 16) {
    r = image_discard(image, start, end - start);
    if (r == 0)
      cr_assert_eq(image_read(image, shadow + start, end - start, start), 0);
  } else {
    r = kind < 18 ? image_flush(image) : image_write_back(image);
  }
  *failed = r < 0 && r != -ENOTSUP;
  if (*failed && kind < 16) /* partly done: what is there now counts */
    cr_assert_eq(image_read(image, shadow + start, end - start, start), 0);
  return kind >= 16 && kind < 18 && r == 0;
}

static BgChild *make(const Shape *shape, uint8_t *shadow, uint8_t **backing)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  *backing = NULL;
  if (shape->backing) {
    *backing = g_malloc(shape->size);
    fill(random, *backing, shape->size);
    memcpy(shadow, *backing, shape->size);
    image_put_file("base.raw", *backing, shape->size);
  }
  g_autoptr(BgChild) file = image_create(shape->size, shape->options, shape->backing ? "base.raw" : NULL, NULL);
  cr_assert_not_null(file);
  if (!shape->snapshots)
    return g_steal_pointer(&file);
  Image *image = image_open_writable(file, NULL, *backing, shape->size);
  fill(random, shadow, shape->size / 2);
  cr_assert_eq(image_write(image, shadow, shape->size / 2, 0), 0);
  image_close(image);
  g_autofree char *saved = image_save(file, "snap.qcow2");
  return image_require_shell("cd $1; qemu-img snapshot -c one snap.qcow2; cp snap.qcow2 out");
}

ParameterizedTestParameters(qcow2_writeback, power_cut)
{
  static Shape shapes[] = {
      {"cluster_size=512", 192 << 10, false, 0},
      {"cluster_size=512,refcount_bits=64", 192 << 10, true, 0},
      {"cluster_size=512,refcount_bits=1", 192 << 10, false, 0},
      {"cluster_size=512,compat=0.10", 192 << 10, false, 0},
      {"cluster_size=4096,lazy_refcounts=on", 256 << 10, true, 0},
      {"cluster_size=512,refcount_bits=8", 128 << 10, false, 1},
      {"cluster_size=65536", 1 << 20, false, 1},
      {"cluster_size=16K,extended_l2=on", 192 << 10, true, 0},
      {"cluster_size=16K,extended_l2=on", 192 << 10, false, 1},
  };
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

/* Which calls after the last flush reached the disk. */
typedef struct Luck {
  size_t last_flush;
  GRand *random; /* NULL: none did */
} Luck;

static bool keep(size_t index, void *data)
{
  Luck *luck = data;
  return index < luck->last_flush || (luck->random && g_rand_boolean(luck->random));
}

/* Every sector holds what it held at some moment since the last flush that was answered. */
static void assert_recent(Image *image, const GArray *history, size_t cut, uint64_t size)
{
  guint last = 0, first = 0;
  for (guint i = 0; i < history->len && g_array_index(history, Moment, i).record <= cut; i++) {
    last = i;
    if (g_array_index(history, Moment, i).flushed)
      first = i;
  }
  last = MIN(last + 1, history->len - 1); /* the request that the cut hit */
  g_autofree uint8_t *content = g_malloc(size);
  cr_assert_eq(image_read(image, content, size, 0), 0);
  for (uint64_t at = 0; at < size; at += SECTOR) {
    bool known = false;
    for (guint i = first; i <= last && !known; i++)
      known = memcmp(content + at, g_array_index(history, Moment, i).content + at, SECTOR) == 0;
    cr_assert(known, "cut at %zu: byte %" G_GUINT64_FORMAT " (%02x) is neither old nor new", cut, at, content[at]);
  }
}

static void cut_power(BgChild *file, const GArray *history, const Shape *shape, const uint8_t *backing, size_t cut,
                      GRand *random)
{
  Luck luck = {0, random};
  for (size_t i = 0; i < cut; i++)
    if (mem_child_record_is_flush(file, i))
      luck.last_flush = i + 1;
  g_autoptr(BgChild) after = mem_child_replay(file, cut, keep, &luck);
  ImageCheck check;
  image_check(after, &check);
  cr_assert_eq(check.corruptions, 0, "%s, cut at %zu: %s", shape->options, cut, check.first);
  if (cut % 97 == 0 && !strstr(shape->options, "lazy"))
    cr_assert_neq(image_qemu_check(after), 2);
  Image *image = image_open(after, NULL, backing, shape->size, NULL);
  cr_assert_not_null(image);
  assert_recent(image, history, cut, shape->size);
  /* and life goes on */
  if (cut % 10 == 0 && image_set_writable(image, true, NULL)) {
    uint8_t bytes[3000] = {1, 2, 3};
    for (uint64_t at = 0; at + sizeof bytes < shape->size; at += shape->size / 9)
      cr_assert_eq(image_write(image, bytes, sizeof bytes, at), 0);
  }
  cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
  image_close(image);
  image_assert_sound(after, true);
}

ParameterizedTest(Shape *shape, qcow2_writeback, power_cut, .timeout = 120)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(42);
  g_autofree uint8_t *shadow = g_malloc0(shape->size), *backing = NULL;
  g_autoptr(BgChild) file = make(shape, shadow, &backing);
  g_autoptr(GArray) history = g_array_new(FALSE, FALSE, sizeof(Moment));
  g_array_set_clear_func(history, clear_moment);
  mem_child_record(file);
  remember(history, file, shadow, shape->size, true);
  for (int round = 0; round < 2; round++) {
    Image *image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", backing, shape->size);
    for (int i = 0; i < 60; i++) {
      bool failed, flushed = request(image, random, shadow, shape->size, &failed);
      cr_assert_not(failed);
      remember(history, file, shadow, shape->size, flushed);
    }
    image_close(image);
    remember(history, file, shadow, shape->size, true);
  }
  size_t all = mem_child_record_length(file);
  for (size_t cut = 0; cut <= all; cut++) {
    cut_power(file, history, shape, backing, cut, NULL);
    cut_power(file, history, shape, backing, cut, random);
  }
}

/* Every call below fails once, or from some moment on until the disk works again: nothing is lost, nothing leaks. */
ParameterizedTestParameters(qcow2_writeback, failing_storage)
{
  static Shape shapes[] = {
      {"cluster_size=512,refcount_bits=64", 192 << 10, false, 0},
      {"cluster_size=512,compat=0.10", 192 << 10, false, 0},
      {"cluster_size=4096", 1 << 20, true, 0},
      {"cluster_size=512,refcount_bits=8", 128 << 10, false, 1},
      {"cluster_size=16K,extended_l2=on", 192 << 10, true, 0},
      {"cluster_size=16K,extended_l2=on", 192 << 10, false, 1},
  };
  return cr_make_param_array(Shape, shapes, G_N_ELEMENTS(shapes));
}

ParameterizedTest(Shape *shape, qcow2_writeback, failing_storage, .timeout = 120)
{
  for (unsigned nth = 1; nth < 200; nth++) {
    g_autoptr(GRand) random = g_rand_new_with_seed(nth / 20);
    g_autofree uint8_t *shadow = g_malloc0(shape->size), *backing = NULL;
    g_autoptr(BgChild) file = make(shape, shadow, &backing);
    Image *image = image_open_writable(file, "l2-cache-size=0,refcount-cache-size=0", backing, shape->size);
    int err = nth % 3 ? EIO : ENOSPC;
    mem_child_fail(file, MEM_WRITES | MEM_FLUSH, nth, err, nth % 2);
    for (int i = 0; i < 40; i++) {
      bool failed;
      request(image, random, shadow, shape->size, &failed);
    }
    bool came = mem_child_has_failed(file);
    mem_child_fail(file, 0, 0, 0, false);
    for (int i = 0; i < 20; i++) {
      bool failed;
      request(image, random, shadow, shape->size, &failed);
      cr_assert_not(failed);
    }
    image_assert_content(image, shadow, shape->size);
    cr_assert_eq(image_corruptions(image), 0, "%s", image_last_event(image));
    image_close(image);
    image_assert_sound(file, false);
    image = image_open(file, NULL, backing, shape->size, NULL);
    image_assert_content(image, shadow, shape->size);
    image_close(image);
    if (!came)
      break;
  }
}

/* A disk that is full answers ENOSPC at the write, and takes writes again once it is not. */
Test(qcow2_writeback, full_disk_shows_at_the_write)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=512", NULL, NULL);
  g_autofree uint8_t *shadow = g_malloc0(1 << 20);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  mem_child_set_capacity(file, 300 << 10);
  unsigned full = 0;
  for (uint64_t at = 0; at < 1 << 20; at += 4096) {
    uint8_t bytes[4096];
    memset(bytes, at >> 12 | 1, sizeof bytes);
    int r = image_write(image, bytes, sizeof bytes, at);
    cr_assert(r == 0 || r == -ENOSPC);
    if (r == 0)
      memcpy(shadow + at, bytes, sizeof bytes);
    else
      cr_assert_eq(image_read(image, shadow + at, sizeof bytes, at), 0);
    full += r == -ENOSPC;
  }
  cr_assert_gt(full, 100);
  cr_assert_eq(image_flush(image), 0, "what was taken can be written out on a full disk");
  image_assert_content(image, shadow, 1 << 20);

  /* space inside the image does as well as space on the disk */
  cr_assert_eq(image_zero(image, 0, 64 << 10, BG_ZERO_MAY_UNMAP), 0);
  memset(shadow, 0, 64 << 10);
  cr_assert_eq(image_write_back(image), 0);
  memset(shadow + (900 << 10), 7, 32 << 10);
  cr_assert_eq(image_write(image, shadow + (900 << 10), 32 << 10, 900 << 10), 0);

  mem_child_set_capacity(file, MEM_CHILD_MAX);
  memset(shadow + (960 << 10), 9, 64 << 10);
  cr_assert_eq(image_write(image, shadow + (960 << 10), 64 << 10, 960 << 10), 0);
  image_close(image);
  image_assert_judged(file, shadow, 1 << 20);
}

Test(qcow2_writeback, nothing_to_do_does_nothing)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  cr_assert_eq(image_write_back(image), 0);
  mem_child_reset_counts(file);
  cr_assert_eq(image_write_back(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_ALL), 0);
  cr_assert_eq(image_write(image, "y", 1, 1), 0);
  cr_assert_eq(image_write_back(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_FLUSH), 0, "a write in place leaves no metadata behind");
  image_close(image);
}

/* A new cluster's data is durable before the entry that names it, with one flush between, however much is written. */
Test(qcow2_writeback, one_flush_orders_new_clusters)
{
  g_autoptr(BgChild) file = image_create(64 << 20, NULL, NULL, NULL);
  g_autofree uint8_t *bytes = g_malloc0(8 << 20);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, bytes, 1, 0), 0);
  cr_assert_eq(image_write_back(image), 0);
  mem_child_reset_counts(file);
  cr_assert_eq(image_write(image, bytes, 8 << 20, 1 << 20), 0);
  cr_assert_eq(image_write_back(image), 0);
  cr_assert_eq(mem_child_count(file, MEM_FLUSH), 1);
  image_close(image);
}
