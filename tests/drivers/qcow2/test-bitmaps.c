#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

TestSuite(qcow2_bitmaps, .timeout = 120);

/* Three bitmaps: "a" and "b" record, "off" does not. */
#define MAKE(cluster, size)                                                                                            \
  "qemu-img create -q -f qcow2 -o cluster_size=" cluster " $1/out " size " && qemu-img bitmap --add -g 512 $1/out a "  \
  "&& qemu-img bitmap --add -g 64k $1/out b && qemu-img bitmap --add --disable -g 4096 $1/out off"
#define SMALL "qemu-img create -q -f qcow2 $1/out 1M && qemu-img bitmap --add -g 4096 $1/out a"

/* ── looking at the file ── */

static uint64_t extension(BgChild *file)
{
  const uint8_t *bytes = mem_child_data(file);
  uint64_t at = qcow2_get32(bytes + QCOW2_H_HEADER_LENGTH);
  while (qcow2_get32(bytes + at) != QCOW2_EXT_BITMAPS) {
    cr_assert_neq(qcow2_get32(bytes + at), QCOW2_EXT_END);
    at += 8 + ((qcow2_get32(bytes + at + 4) + 7) & ~7u);
  }
  return at + 8;
}

static uint8_t *entry(BgChild *file, const char *name)
{
  uint8_t *at = mem_child_data(file) + qcow2_get64(mem_child_data(file) + extension(file) + 16);
  for (uint32_t i = qcow2_get32(mem_child_data(file) + extension(file)); i; i--) {
    size_t length = qcow2_get16(at + QCOW2_BITMAP_NAME_SIZE), extra = qcow2_get32(at + QCOW2_BITMAP_EXTRA_SIZE);
    if (strlen(name) == length && memcmp(at + QCOW2_BITMAP_SIZE + extra, name, length) == 0)
      return at;
    at += (QCOW2_BITMAP_SIZE + length + extra + 7) & ~(size_t)7;
  }
  cr_assert_fail("no bitmap %s", name);
  return NULL;
}

static uint32_t flags(BgChild *file, const char *name)
{
  return qcow2_get32(entry(file, name) + QCOW2_BITMAP_FLAGS);
}

static bool vouched(BgChild *file)
{
  return qcow2_get64(mem_child_data(file) + QCOW2_H_AUTOCLEAR) & QCOW2_AUTOCLEAR_BITMAPS;
}

/* ── looking at the node ── */

static BgBitmapInfo look(Image *image, const char *name)
{
  g_autoptr(GPtrArray) infos = bg_bitmaps_look(image_bitmaps(image));
  for (guint i = 0; i < infos->len; i++) {
    const BgBitmapInfo *info = infos->pdata[i];
    if (strcmp(info->name, name) == 0)
      return (BgBitmapInfo){
          NULL, info->granularity, info->count, info->recording, info->persistent, info->inconsistent};
  }
  cr_assert_fail("no bitmap %s is loaded", name);
  return (BgBitmapInfo){0};
}

static void assert_ranges(Image *image, const char *name, const char *expected)
{
  g_autoptr(GString) text = g_string_new(NULL);
  const BgBitmap *bitmap = bg_bitmaps_find(image_bitmaps(image), name);
  cr_assert_not_null(bitmap);
  uint64_t start, length;
  for (uint64_t at = 0; bg_bitmap_next(bitmap, at, &start, &length); at = start + length)
    g_string_append_printf(text, "%s%" PRIu64 "+%" PRIu64, text->len ? " " : "", start, length);
  cr_assert_str_eq(text->str, expected, "%s: %s, not %s", name, text->str, expected);
}

/* ── a writer ── */

Test(qcow2_bitmaps, a_writer_keeps_them)
{
  static const char *const scripts[] = {MAKE("512", "4M"), MAKE("4k", "4M"), MAKE("64k", "4M"), MAKE("2M", "4M")};
  for (unsigned i = 0; i < G_N_ELEMENTS(scripts); i++) {
    g_autoptr(BgChild) file = image_require_shell(scripts[i]);
    g_autofree uint8_t *bytes = g_malloc(2 << 20);
    memset(bytes, 7, 2 << 20);
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    cr_assert_null(bg_bitmaps_find(image_bitmaps(image), "a"), "a reader needs none");
    cr_assert(image_set_writable(image, true, NULL));
    cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
    cr_assert_eq(flags(file, "b"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
    cr_assert_eq(flags(file, "off"), 0, "it does not change");
    cr_assert_eq(image_write(image, bytes, 1000, 5000), 0);
    cr_assert_eq(image_write(image, bytes, 2 << 20, 1 << 20), 0);
    cr_assert(image_set_writable(image, false, NULL));
    cr_assert_null(bg_bitmaps_find(image_bitmaps(image), "a"));
    cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_AUTO);
    cr_assert_eq(image_qemu_check(file), 0);
    cr_assert(image_set_writable(image, true, NULL));
    assert_ranges(image, "a", "4608+1536 1048576+2097152");
    assert_ranges(image, "b", "0+65536 1048576+2097152");
    assert_ranges(image, "off", "");
    cr_assert_eq(image_discard(image, 2 << 20, 2 << 20), 0);
    image_close(image);
    image_assert_sound(file, false);
    cr_assert_eq(image_qemu_check(file), 0);
    image = image_open_writable(file, NULL, NULL, 0);
    assert_ranges(image, "a", "4608+1536 1048576+3145728");
    cr_assert_eq(look(image, "b").count, (3 << 20) + 65536);
    image_close(image);
  }
}

/* What a reader can tell of one. */
static BgBitmapInfo kept(Image *image, const char *name)
{
  g_autoptr(GPtrArray) infos = bg_driver_find("qcow2")->kept_bitmaps(image_instance(image));
  cr_assert_not_null(infos);
  for (guint i = 0; i < infos->len; i++) {
    BgBitmapInfo info = *(BgBitmapInfo *)infos->pdata[i];
    if (strcmp(info.name, name) == 0) {
      info.name = NULL;
      return info;
    }
  }
  cr_assert_fail("no bitmap %s is kept", name);
  return (BgBitmapInfo){0};
}

Test(qcow2_bitmaps, readers_are_told_what_is_kept)
{
  static const char *const scripts[] = {MAKE("512", "4M"), MAKE("64k", "4M"), MAKE("512", "4100k")};
  for (unsigned i = 0; i < G_N_ELEMENTS(scripts); i++) {
    g_autoptr(BgChild) file = image_require_shell(scripts[i]);
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    const BgBitmapInfo clean = kept(image, "a"), off = kept(image, "off");
    cr_assert(clean.count == 0 && clean.recording && clean.persistent && !clean.inconsistent);
    cr_assert(off.count == 0 && !off.recording && !off.inconsistent);
    cr_assert(image_set_writable(image, true, NULL));
    cr_assert_null(bg_driver_find("qcow2")->kept_bitmaps(image_instance(image)), "the core has them");
    bg_bitmaps_mark(image_bitmaps(image), 5000, 1000);
    bg_bitmaps_mark(image_bitmaps(image), 1 << 20, 4 << 20); /* to the end, whatever that is */
    const BgBitmapInfo fine = look(image, "a"), coarse = look(image, "b");
    cr_assert(image_set_writable(image, false, NULL));
    cr_assert_eq(kept(image, "a").count, fine.count);
    cr_assert_eq(kept(image, "b").count, coarse.count);
    cr_assert_eq(kept(image, "b").granularity, coarse.granularity);
    qcow2_put64(mem_child_data(file) + qcow2_get64(entry(file, "a")), 0xff);
    cr_assert(kept(image, "a").inconsistent && !kept(image, "b").inconsistent);
    mem_child_fail(file, MEM_PREADV, 1, EIO, true);
    cr_assert(kept(image, "b").inconsistent);
    mem_child_fail(file, 0, 0, 0, false);
    image_close(image);
  }
}

/* All ones and all zeros take no space. */
Test(qcow2_bitmaps, uniform_parts_take_no_space)
{
  g_autoptr(BgChild) file = image_require_shell(MAKE("512", "8M"));
  Image *image = image_open_writable(file, NULL, NULL, 0);
  bg_bitmaps_mark(image_bitmaps(image), 0, 3 << 20);
  cr_assert(image_set_writable(image, false, NULL));
  const uint8_t *table = mem_child_data(file) + qcow2_get64(entry(file, "a"));
  cr_assert_eq(qcow2_get32(entry(file, "a") + QCOW2_BITMAP_ENTRIES), 4);
  cr_assert_eq(qcow2_get64(table), QCOW2_BITMAP_ONES);
  cr_assert_gt(qcow2_get64(table + 8), QCOW2_BITMAP_ONES);
  cr_assert_eq(qcow2_get64(table + 16), 0);
  cr_assert(image_set_writable(image, true, NULL));
  assert_ranges(image, "a", "0+3145728");
  bg_bitmaps_mark_all(image_bitmaps(image));
  cr_assert(image_set_writable(image, false, NULL));
  for (int i = 0; i < 4; i++)
    cr_assert_eq(qcow2_get64(table + i * 8), QCOW2_BITMAP_ONES);
  image_close(image);
  image_assert_sound(file, false);
  cr_assert_eq(image_qemu_check(file), 0);
}

Test(qcow2_bitmaps, marks_are_durable_before_the_first_write)
{
  g_autoptr(BgChild) file = image_require_shell(MAKE("64k", "1M"));
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  mem_child_record(file);
  cr_assert(image_set_writable(image, true, NULL));
  size_t length = mem_child_record_length(file);
  cr_assert(mem_child_record_is_flush(file, length - 1));
  image_kill(image);
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
  cr_assert_eq(image_qemu_check(file), 0);

  /* the next writer finds them so, and leaves them */
  image = image_open_writable(file, NULL, NULL, 0);
  cr_assert(look(image, "a").inconsistent);
  cr_assert_not(look(image, "off").inconsistent);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  image_close(image);
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
  cr_assert_eq(flags(file, "off"), 0);
  cr_assert_eq(image_qemu_check(file), 0);
}

Test(qcow2_bitmaps, follow_another_size)
{
  static const uint64_t sizes[] = {64 << 10, 5 << 20, (33 << 20) + 512, 3 << 20};
  g_autoptr(BgChild) file = image_require_shell(MAKE("512", "2M"));
  for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
    Image *image = image_open_writable(file, NULL, NULL, 0);
    uint64_t old = image_size(image);
    cr_assert_eq(image_resize(image, sizes[i]), 0);
    cr_assert(flags(file, "off") & QCOW2_BITMAP_IN_USE, "it has not the disk's size now");
    cr_assert_eq(image_write(image, "x", 1, 70), 0);
    image_close(image);
    cr_assert_eq(image_qemu_check(file), 0);
    image_assert_sound(file, false);
    image = image_open_writable(file, NULL, NULL, 0);
    cr_assert_not(look(image, "off").inconsistent);
    cr_assert_eq(look(image, "off").count, 0);
    cr_assert_not(look(image, "a").inconsistent);
    uint64_t start, length;
    cr_assert(bg_bitmap_next(bg_bitmaps_find(image_bitmaps(image), "a"), 0, &start, &length));
    cr_assert_eq(start, 0);
    if (sizes[i] > old) {
      cr_assert(bg_bitmap_next(bg_bitmaps_find(image_bitmaps(image), "a"), old, &start, &length));
      cr_assert(start == old && length == sizes[i] - old, "what is new is dirty");
    }
    image_close(image);
  }
}

/* ── what cannot be kept ── */

/* One field of the entry of "a" is false: the image is written to as ever, the bitmap is told of as inconsistent, and marked as in use
 * if it should have recorded. */
static void assert_given_up(BgChild *file, const char *what)
{
  bool automatic = flags(file, "a") & QCOW2_BITMAP_AUTO;
  g_autoptr(GError) error = NULL;
  Image *image = image_open(file, NULL, NULL, 0, &error);
  cr_assert_not_null(image, "%s: %s", what, error ? error->message : "");
  cr_assert(image_set_writable(image, true, &error), "%s: %s", what, error ? error->message : "");
  g_autoptr(GPtrArray) infos = bg_bitmaps_look(image_bitmaps(image));
  cr_assert_eq(infos->len, 1);
  cr_assert(((BgBitmapInfo *)infos->pdata[0])->inconsistent, "%s", what);
  cr_assert_eq(image_write(image, "abc", 3, 5), 0);
  image_close(image);
  image = image_open(file, NULL, NULL, 0, NULL);
  uint8_t bytes[3];
  cr_assert_eq(image_read(image, bytes, 3, 5), 0);
  cr_assert_arr_eq(bytes, "abc", 3);
  image_close(image);
  uint8_t *at = mem_child_data(file) + qcow2_get64(mem_child_data(file) + extension(file) + 16);
  cr_assert_eq(!!(qcow2_get32(at + QCOW2_BITMAP_FLAGS) & QCOW2_BITMAP_IN_USE), automatic, "%s", what);
  cr_assert(vouched(file));
}

Test(qcow2_bitmaps, entries_that_cannot_be_true)
{
  static const struct {
    unsigned at, bytes;
    uint64_t value;
    const char *what;
  } cases[] = {
      {QCOW2_BITMAP_TABLE, 8, 0, "no table"},
      {QCOW2_BITMAP_TABLE, 8, 0x10200, "unaligned table"},
      {QCOW2_BITMAP_TABLE, 8, 1 << 30, "table past the end"},
      {QCOW2_BITMAP_TABLE, 8, UINT64_MAX << 16, "table beyond everything"},
      {QCOW2_BITMAP_ENTRIES, 4, 0, "empty table"},
      {QCOW2_BITMAP_ENTRIES, 4, 2, "table for a larger disk"},
      {QCOW2_BITMAP_ENTRIES, 4, UINT32_MAX, "huge table"},
      {QCOW2_BITMAP_FLAGS, 4, 10, "unknown flag"},
      {QCOW2_BITMAP_FLAGS, 4, 1u << 31 | 2, "last flag"},
      {QCOW2_BITMAP_FLAGS, 4, 0x80, "unknown flag, not recording"},
      {QCOW2_BITMAP_FLAGS, 4, 3, "in use"},
      {QCOW2_BITMAP_TYPE, 1, 0, "type 0"},
      {QCOW2_BITMAP_TYPE, 1, 2, "type 2"},
      {QCOW2_BITMAP_GRANULARITY, 1, 8, "granularity too fine"},
      {QCOW2_BITMAP_GRANULARITY, 1, 32, "granularity too coarse"},
      {QCOW2_BITMAP_GRANULARITY, 1, 255, "granularity beyond everything"},
  };
  for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(BgChild) file = image_require_shell(SMALL);
    uint8_t *at = entry(file, "a") + cases[i].at;
    if (cases[i].bytes == 8)
      qcow2_put64(at, cases[i].value);
    else if (cases[i].bytes == 4)
      qcow2_put32(at, (uint32_t)cases[i].value);
    else
      *at = (uint8_t)cases[i].value;
    assert_given_up(file, cases[i].what);
  }
}

Test(qcow2_bitmaps, tables_that_cannot_be_true)
{
  static const uint64_t entries[] = {
      3,                           /* reserved bits */
      UINT64_C(1) << 60 | 0x50000, /* the same */
      0x50200,                     /* unaligned */
      0x50001,                     /* an offset, and all ones */
      0,                           /* placeholder: the header's cluster below */
      0x10000,                     /* refcount table */
      0x20000,                     /* refcount block */
      1 << 30                      /* past the end */
  };
  for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
    g_autoptr(BgChild) file = image_require_shell(SMALL);
    uint64_t value = entries[i] ? entries[i] : qcow2_get64(entry(file, "a")); /* the table itself */
    qcow2_put64(mem_child_data(file) + qcow2_get64(entry(file, "a")), value);
    assert_given_up(file, "table");
  }
}

/* A second name for the same cluster: neither may write there and free it. */
Test(qcow2_bitmaps, shared_clusters)
{
  g_autoptr(BgChild) file = image_require_shell(
      "qemu-img create -q -f qcow2 $1/out 1M && qemu-img bitmap --add $1/out a && qemu-img bitmap --add $1/out b && "
      "qemu-io -c 'write 0 64k' $1/out >/dev/null");
  uint8_t *bytes = mem_child_data(file);
  uint64_t one = qcow2_get64(bytes + qcow2_get64(entry(file, "a")));
  cr_assert_gt(one, 1);
  qcow2_put64(bytes + qcow2_get64(entry(file, "b")), one);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_not(look(image, "a").inconsistent);
  cr_assert(look(image, "b").inconsistent);
  image_close(image);
  cr_assert_eq(flags(file, "b"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_AUTO);
}

Test(qcow2_bitmaps, names)
{
  g_autoptr(BgChild) file = image_require_shell(MAKE("64k", "1M"));
  memcpy(entry(file, "b") + QCOW2_BITMAP_SIZE, "a", 1);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  g_autoptr(GPtrArray) infos = bg_bitmaps_look(image_bitmaps(image));
  cr_assert_eq(infos->len, 2, "of two of one name the first counts");
  cr_assert_not(look(image, "a").inconsistent);
  cr_assert_eq(look(image, "a").granularity, 512);
  image_close(image);
}

/* Without extra data that is known, only the flag says that it does not matter. */
Test(qcow2_bitmaps, extra_data)
{
  for (int compatible = 0; compatible < 2; compatible++) {
    g_autoptr(BgChild) file =
        image_require_shell("qemu-img create -q -f qcow2 $1/out 1M && qemu-img bitmap --add -g 4096 $1/out abcdefgh");
    uint8_t *at = entry(file, "abcdefgh"); /* the name becomes extra data and a shorter name */
    qcow2_put16(at + QCOW2_BITMAP_NAME_SIZE, 3);
    qcow2_put32(at + QCOW2_BITMAP_EXTRA_SIZE, 5);
    qcow2_put32(at + QCOW2_BITMAP_FLAGS, QCOW2_BITMAP_AUTO | (compatible ? QCOW2_BITMAP_EXTRA_COMPATIBLE : 0));
    Image *image = image_open_writable(file, NULL, NULL, 0);
    cr_assert_eq(look(image, "fgh").inconsistent, !compatible);
    image_close(image);
    cr_assert_eq(flags(file, "fgh"),
                 QCOW2_BITMAP_AUTO | (compatible ? QCOW2_BITMAP_EXTRA_COMPATIBLE : QCOW2_BITMAP_IN_USE));
    cr_assert_arr_eq(entry(file, "fgh") + QCOW2_BITMAP_SIZE, "abcde", 5);
  }
}

/* A directory that makes no sense as a whole: the image stands, the first writer takes away the bit that vouches for it. */
Test(qcow2_bitmaps, directories_that_cannot_be_true)
{
  static const struct {
    unsigned at, bytes;
    uint64_t value;
  } cases[] = {{0, 4, 0},          {0, 4, 2},       {0, 4, UINT32_MAX}, {4, 4, 1},
               {8, 8, 0},          {8, 8, 31},      {8, 8, 40},         {8, 8, UINT64_MAX},
               {16, 8, 0},         {16, 8, 0x200},  {16, 8, 1 << 30},   {16, 8, UINT64_MAX << 16},
               {8, 8, 70000 * 24}, {0, 4, 1 << 16}, {8, 8, 24}};
  for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(BgChild) file = image_require_shell(SMALL);
    uint8_t *at = mem_child_data(file) + extension(file) + cases[i].at;
    if (cases[i].bytes == 8)
      qcow2_put64(at, cases[i].value);
    else
      qcow2_put32(at, (uint32_t)cases[i].value);
    g_autofree uint8_t *before = g_memdup2(mem_child_data(file), file->ops->size(file));
    uint64_t size = file->ops->size(file);
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    cr_assert_not_null(image, "case %u", i);
    cr_assert_null(image_last_event(image));
    cr_assert_arr_eq(mem_child_data(file), before, size);
    cr_assert(image_set_writable(image, true, NULL), "case %u", i);
    cr_assert_not_null(image_last_event(image));
    cr_assert_not(vouched(file));
    cr_assert_eq(image_write(image, "x", 1, 0), 0);
    image_close(image);
    image_assert_sound(file, true);
  }
}

Test(qcow2_bitmaps, the_bit_without_the_extension)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  qcow2_put64(mem_child_data(file) + QCOW2_H_AUTOCLEAR, QCOW2_AUTOCLEAR_BITMAPS);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_not(vouched(file));
  image_close(image);
  image_assert_sound(file, false);
}

/* Nobody vouches for them: they are not looked at. */
Test(qcow2_bitmaps, the_extension_without_the_bit)
{
  g_autoptr(BgChild) file = image_require_shell(SMALL);
  qcow2_put64(mem_child_data(file) + QCOW2_H_AUTOCLEAR, 0);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_null(bg_bitmaps_find(image_bitmaps(image), "a"));
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  image_close(image);
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_AUTO);
  image_assert_sound(file, true);
}

static void assert_no_writer(BgChild *file, const char *says)
{
  g_autoptr(GError) error = NULL;
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  cr_assert_not_null(image);
  g_autofree uint8_t *before = g_memdup2(mem_child_data(file), file->ops->size(file));
  cr_assert_not(image_set_writable(image, true, &error));
  cr_assert_eq(error->code, EROFS);
  cr_assert_not_null(strstr(error->message, says), "%s", error->message);
  cr_assert_arr_eq(mem_child_data(file), before, file->ops->size(file));
  image_close(image);
}

Test(qcow2_bitmaps, tables_over_other_metadata)
{
  for (uint64_t target = 0x10000; target <= 0x30000; target += 0x10000) { /* refcount table and block, L1 table */
    g_autoptr(BgChild) file = image_require_shell(SMALL);
    qcow2_put64(entry(file, "a"), target);
    assert_no_writer(file, "bitmaps overlap");
  }
  g_autoptr(BgChild) file = image_require_shell(MAKE("64k", "1M"));
  qcow2_put64(entry(file, "a"), qcow2_get64(entry(file, "b")));
  assert_no_writer(file, "bitmaps overlap");
}

Test(qcow2_bitmaps, too_large_for_memory)
{
  g_autoptr(BgChild) file =
      image_require_shell("qemu-img create -q -f qcow2 $1/out 400G && qemu-img bitmap --add -g 512 $1/out a && "
                          "qemu-img bitmap --add -g 64k $1/out b");
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert(look(image, "a").inconsistent);
  cr_assert_not_null(strstr(image_last_event(image), "'a'"));
  cr_assert_not(look(image, "b").inconsistent);
  cr_assert_eq(image_write(image, "x", 1, UINT64_C(300) << 30), 0);
  image_close(image);
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
  cr_assert_eq(flags(file, "b"), QCOW2_BITMAP_AUTO);
  cr_assert_eq(image_qemu_check(file), 0);
  image = image_open_writable(file, NULL, NULL, 0);
  assert_ranges(image, "b", "322122547200+65536");
  image_close(image);
}

/* ── changes that are given up ── */

Test(qcow2_bitmaps, abort_sets_marks_back)
{
  g_autoptr(BgChild) file = image_require_shell(MAKE("64k", "1M"));
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  const BgDriver *driver = bg_driver_find("qcow2");
  void *instance = image_instance(image), *pending;
  g_autoptr(BgDict) none = bg_dict_new();
  g_autofree void *options = g_malloc0(driver->options_size);
  cr_assert(bg_options_parse(driver->options, none, options, NULL));
  BgMode up = {.writable = true};
  cr_assert(driver->change_open(instance, &up, options, &pending, NULL));
  cr_assert(driver->change_settle(instance, pending, NULL));
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
  driver->change_abort(instance, pending);
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_AUTO);
  cr_assert_null(bg_bitmaps_find(image_bitmaps(image), "a"));

  cr_assert(image_set_writable(image, true, NULL));
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  cr_assert(driver->change_open(instance, &(BgMode){0}, options, &pending, NULL));
  cr_assert(driver->change_settle(instance, pending, NULL));
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_AUTO);
  driver->change_abort(instance, pending);
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO, "it is written to again");
  cr_assert_eq(image_write(image, "x", 1, 1 << 19), 0);
  image_close(image);
  cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_AUTO);
  image_assert_sound(file, false);
  image = image_open_writable(file, NULL, NULL, 0);
  assert_ranges(image, "a", "0+512 524288+512");
  image_close(image);
}

/* No bitmap that counts as valid misses what was written, at 0 and at `further` (0: not). */
static void assert_truthful(BgChild *file, uint64_t further, const char *when, unsigned nth)
{
  Image *image = image_open_writable(file, NULL, NULL, 0);
  for (const char *const *name = (const char *const[]){"a", "b", NULL}; *name; name++) {
    const BgBitmap *bitmap = bg_bitmaps_find(image_bitmaps(image), *name);
    uint64_t start, length;
    if (look(image, *name).inconsistent)
      continue;
    cr_assert(bg_bitmap_next(bitmap, 0, &start, &length) && start == 0, "%s, call %u", when, nth);
    if (further)
      cr_assert(bg_bitmap_next(bitmap, further, &start, &length) && start == further, "%s, call %u", when, nth);
  }
  image_close(image);
}

/* Each call of the way down fails once. A writer comes in after that, writes, and the daemon is killed, or goes down in peace. */
static void fail_down(const char *script, uint64_t resize, int err, bool peace)
{
  for (unsigned nth = 1;; nth++) {
    g_autoptr(BgChild) file = image_require_shell(script);
    Image *image = image_open_writable(file, NULL, NULL, 0);
    cr_assert_eq(image_write(image, "x", 1, 5), 0);
    if (resize)
      cr_assert_eq(image_resize(image, resize), 0);
    mem_child_fail(file, MEM_ALL, nth, err, false);
    bool down = image_set_writable(image, false, NULL), came = mem_child_has_failed(file);
    mem_child_fail(file, 0, 0, 0, false);
    if (!came) {
      cr_assert(down);
      image_close(image);
      cr_assert_eq(flags(file, "a"), QCOW2_BITMAP_AUTO);
      image_assert_sound(file, false);
      break;
    }
    cr_assert(image_set_writable(image, true, NULL), "call %u", nth); /* a writer comes */
    cr_assert_eq(image_write(image, "y", 1, 1 << 19), 0);
    if (peace)
      image_close(image);
    else
      image_kill(image);
    image_assert_sound(file, true);
    assert_truthful(file, 1 << 19, peace ? "peace" : "killed", nth);
  }
}

Test(qcow2_bitmaps, failures_on_the_way_down)
{
  for (int peace = 0; peace < 2; peace++) {
    fail_down(MAKE("512", "1M"), 0, EIO, peace);
    fail_down(MAKE("64k", "1M"), 0, ENOSPC, peace);
    fail_down(MAKE("512", "1M"), 40 << 20, EIO, peace);
    fail_down(MAKE("4k", "4M"), 1 << 20, ENOSPC, peace);
  }
}

Test(qcow2_bitmaps, failures_on_the_way_up)
{
  for (unsigned nth = 1;; nth++) {
    g_autoptr(BgChild) file = image_require_shell(MAKE("512", "1M"));
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    mem_child_fail(file, MEM_ALL, nth, EIO, false);
    bool up = image_set_writable(image, true, NULL), came = mem_child_has_failed(file);
    mem_child_fail(file, 0, 0, 0, false);
    if (!up)
      cr_assert(image_set_writable(image, true, NULL), "call %u", nth);
    cr_assert_eq(image_write(image, "x", 1, 5), 0);
    image_close(image);
    image_assert_sound(file, false);
    assert_truthful(file, 0, "up", nth);
    if (!came)
      break;
  }
}

/* What reads as marked may never have reached the disk: a failed flush, or a kill before it, leaves that behind. The next writer writes
 * the mark again, durably, before it comes in. */
Test(qcow2_bitmaps, marks_found_are_made_durable)
{
  g_autoptr(BgChild) file = image_require_shell(MAKE("512", "1M"));
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  mem_child_fail(file, MEM_FLUSH, 2, EIO, true); /* the first is for what was there before */
  cr_assert_not(image_set_writable(image, true, NULL));
  mem_child_fail(file, 0, 0, 0, false);
  cr_assert(flags(file, "a") & QCOW2_BITMAP_IN_USE);
  image_kill(image);
  image = image_open(file, NULL, NULL, 0, NULL);
  mem_child_reset_counts(file);
  cr_assert(image_set_writable(image, true, NULL));
  cr_assert_eq(mem_child_count(file, MEM_PWRITEV), 1);
  cr_assert_eq(mem_child_count(file, MEM_FLUSH), 2);
  cr_assert(look(image, "a").inconsistent);
  image_close(image);
  cr_assert(flags(file, "a") & QCOW2_BITMAP_IN_USE);
}

/* The disk is full when the bitmap is to be stored: the downgrade goes on, the bitmap is lost and told of. */
Test(qcow2_bitmaps, full_disk)
{
  g_autoptr(BgChild) file = image_require_shell(MAKE("512", "1M"));
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, 5), 0);
  cr_assert_eq(image_flush(image), 0);
  mem_child_set_capacity(file, file->ops->size(file));
  cr_assert(image_set_writable(image, false, NULL));
  cr_assert_not_null(strstr(image_last_event(image), "'b' could not be stored"));
  cr_assert_not_null(strstr(image_last_event(image), "No space left"));
  cr_assert_eq(flags(file, "b"), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
  image_close(image);
  image_assert_sound(file, false);
  cr_assert_eq(image_qemu_check(file), 0);
}

/* As many as there can be, none of which can be used. */
Test(qcow2_bitmaps, a_full_directory)
{
  enum { COUNT = 65535, LENGTH = 32 };
  g_autoptr(BgChild) file = image_require_shell(SMALL);
  uint8_t *bytes = mem_child_data(file);
  uint64_t at = 1 << 20;
  file->ops->resize(file, at + (uint64_t)COUNT * LENGTH);
  for (uint32_t i = 0; i < COUNT; i++) {
    uint8_t *one = bytes + at + (uint64_t)i * LENGTH;
    memcpy(one, entry(file, "a"), QCOW2_BITMAP_SIZE);
    qcow2_put64(one + QCOW2_BITMAP_TABLE, (UINT64_C(2) << 40) + ((uint64_t)i << 26));
    qcow2_put16(one + QCOW2_BITMAP_NAME_SIZE, 8);
    g_autofree char *name = g_strdup_printf("%08x", i);
    memcpy(one + QCOW2_BITMAP_SIZE, name, 8);
  }
  qcow2_put32(bytes + extension(file), COUNT);
  qcow2_put64(bytes + extension(file) + 8, (uint64_t)COUNT * LENGTH);
  qcow2_put64(bytes + extension(file) + 16, at);
  gint64 begin = g_get_monotonic_time();
  Image *image = image_open_writable(file, NULL, NULL, 0);
  g_autoptr(GPtrArray) infos = bg_bitmaps_look(image_bitmaps(image));
  cr_assert_eq(infos->len, COUNT);
  cr_assert_not_null(strstr(image_last_event(image), "65519 more"));
  cr_assert(image_set_writable(image, false, NULL));
  cr_assert_lt(g_get_monotonic_time() - begin, 20 * G_USEC_PER_SEC);
  cr_assert_eq(qcow2_get32(bytes + at + LENGTH + QCOW2_BITMAP_FLAGS), QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO);
  image_close(image);
}
