#include "drivers/bitmap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

TestSuite(bitmap, .timeout = 60);

static BgBitmap *add(BgBitmaps *list, const char *name, unsigned granularity_bits, uint64_t size, bool recording)
{
  BgBitmapSpec spec = {name, granularity_bits, size, recording, false, false};
  BgBitmap *bitmap = bg_bitmaps_add(list, &spec, NULL);
  cr_assert_not_null(bitmap);
  return bitmap;
}

static uint64_t count(BgBitmaps *list, guint index)
{
  g_autoptr(GPtrArray) infos = bg_bitmaps_look(list);
  return ((BgBitmapInfo *)infos->pdata[index])->count;
}

/* "OFFSET+LENGTH …" of what is dirty. */
static void assert_dirty(const BgBitmap *bitmap, const char *expected)
{
  g_autoptr(GString) text = g_string_new(NULL);
  uint64_t start, length;
  for (uint64_t at = 0; bg_bitmap_next(bitmap, at, &start, &length); at = start + length)
    g_string_append_printf(text, "%s%" PRIu64 "+%" PRIu64, text->len ? " " : "", start, length);
  cr_assert_str_eq(text->str, expected);
}

Test(bitmap, marks_whole_granules)
{
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  BgBitmap *small = add(list, "small", 9, 10000, true), *large = add(list, "large", 12, 10000, true);
  bg_bitmaps_mark(list, 511, 2);
  assert_dirty(small, "0+1024");
  assert_dirty(large, "0+4096");
  bg_bitmaps_mark(list, 4096, 0);
  bg_bitmaps_mark(list, 10000, 5);
  assert_dirty(large, "0+4096");
  bg_bitmaps_mark(list, 9999, UINT64_MAX);
  assert_dirty(small, "0+1024 9728+272");
  assert_dirty(large, "0+4096 8192+1808");
  cr_assert_eq(count(list, 0), 3 * 512);
  cr_assert_eq(count(list, 1), 2 * 4096);
  uint64_t start, length;
  cr_assert(bg_bitmap_next(large, 100, &start, &length));
  cr_assert(start == 100 && length == 3996);
  cr_assert_not(bg_bitmap_next(large, 10000, &start, &length));
}

Test(bitmap, is_looked_at_no_further_than_asked)
{
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  BgBitmap *bitmap = add(list, "b", 9, 100000, false);
  uint64_t start, length;
  bg_bitmap_set(bitmap, 2048, 50000);
  cr_assert_not(bg_bitmap_next_before(bitmap, 0, 2048, &start, &length));
  cr_assert(bg_bitmap_next_before(bitmap, 0, 2049, &start, &length));
  cr_assert(start == 2048 && length == 1);
  cr_assert(bg_bitmap_next_before(bitmap, 3000, 4096, &start, &length));
  cr_assert(start == 3000 && length == 1096);
  cr_assert(bg_bitmap_next_before(bitmap, 0, UINT64_MAX, &start, &length));
  cr_assert(start == 2048 && length == 50176);
  cr_assert_not(bg_bitmap_next_before(bitmap, 52224, UINT64_MAX, &start, &length));
  cr_assert(bg_bitmap_take(bitmap, 0, 1000, &start, &length));
  cr_assert(start == 2048 && length == 512);
  cr_assert(bg_bitmap_take(bitmap, 0, 49664, &start, &length));
  cr_assert(start == 2560 && length == 49664);
  cr_assert_not(bg_bitmap_take(bitmap, 0, UINT64_MAX, &start, &length));
}

Test(bitmap, merging_adds_marks_of_any_granularity)
{
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  BgBitmap *small = add(list, "small", 9, 10000, false), *large = add(list, "large", 12, 10000, false);
  bg_bitmap_set(small, 512, 1);
  bg_bitmap_set(small, 9999, 1);
  bg_bitmap_merge(large, small);
  assert_dirty(large, "0+4096 8192+1808");
  bg_bitmap_merge(small, large);
  assert_dirty(small, "0+4096 8192+1808");
}

Test(bitmap, only_those_that_record)
{
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  BgBitmap *off = add(list, "off", 9, 4096, false), *on = add(list, "on", 9, 4096, true);
  bg_bitmaps_mark(list, 0, 1);
  bg_bitmap_set_recording(list, on, false);
  bg_bitmap_set_recording(list, on, false);
  cr_assert_eq(atomic_load(&list->recording), 0, "nothing to look at");
  bg_bitmaps_mark(list, 1024, 1);
  bg_bitmap_set_recording(list, off, true);
  bg_bitmaps_mark(list, 2048, 1);
  assert_dirty(on, "0+512");
  assert_dirty(off, "2048+512");
  bg_bitmaps_mark_all(list);
  assert_dirty(off, "0+4096");
  assert_dirty(on, "0+512");
}

/* Words lie in segments of different lengths. */
Test(bitmap, bits_are_where_they_belong)
{
  enum { BITS = 64 * 64 * 9 + 5 };
  static bool model[BITS];
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  BgBitmap *bitmap = add(list, "b", 9, (uint64_t)BITS * 512, true);
  srandom(1);
  for (int i = 0; i < 300; i++) {
    unsigned from = (unsigned)random() % BITS, length = 1 + (unsigned)random() % 70;
    bg_bitmaps_mark(list, (uint64_t)from * 512, (uint64_t)length * 512);
    for (unsigned j = from; j < MIN(from + length, BITS); j++)
      model[j] = true;
  }
  static uint8_t bytes[(BITS + 7) / 8 + 100];
  memset(bytes, 0xaa, sizeof bytes);
  cr_assert_eq(bg_bitmap_bytes(bitmap), (BITS + 7) / 8);
  bg_bitmap_export(bitmap, 0, bytes, 2048);
  bg_bitmap_export(bitmap, 2048, bytes + 2048, sizeof bytes - 2048);
  uint64_t set = 0;
  for (unsigned i = 0; i < sizeof bytes * 8; i++) {
    cr_assert_eq(bytes[i / 8] >> i % 8 & 1, i < BITS && model[i], "bit %u", i);
    set += i < BITS && model[i];
  }
  cr_assert_eq(count(list, 0), set * 512);
  BgBitmap *other = add(list, "other", 9, (uint64_t)BITS * 512, false);
  memset(bytes + (BITS + 7) / 8 - 1, 0xff, 101);
  bg_bitmap_import(other, 0, bytes, 512);
  bg_bitmap_import(other, 512, bytes + 512, sizeof bytes - 512);
  cr_assert_geq(count(list, 1), count(list, 0));
  cr_assert_leq(count(list, 1), count(list, 0) + 5 * 512, "what lies past the end is no bit");
}

Test(bitmap, follows_the_size)
{
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  BgBitmap *on = add(list, "on", 12, 8192, true), *off = add(list, "off", 12, 8192, false);
  bg_bitmap_set(off, 0, 8192);
  bg_bitmaps_resize(list, 5000);
  cr_assert_eq(count(list, 1), 8192, "a granule that is cut stays");
  bg_bitmaps_resize(list, 4096);
  assert_dirty(off, "0+4096");
  bg_bitmaps_resize(list, 64 << 20);
  assert_dirty(off, "0+4096");
  assert_dirty(on, "4096+67104768");
  bg_bitmaps_grow(list, 4096);
  cr_assert_eq(bg_bitmap_size(on), 64 << 20);
  bg_bitmaps_mark_growing(list, 64 << 20, 10);
  cr_assert_eq(bg_bitmap_size(on), (64 << 20) + 10);
  cr_assert_eq(bg_bitmap_size(off), (64 << 20) + 10);
}

static void assert_refused(BgBitmaps *list, const BgBitmapSpec *spec, int code)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bg_bitmaps_add(list, spec, &error));
  cr_assert_eq(error->code, code, "%s", error->message);
}

Test(bitmap, refusals_and_bounds)
{
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  uint64_t half = BG_BITMAPS_MAX_BYTES / 2 * 8 * 512;
  BgBitmap *first = add(list, "first", 9, half, true);
  assert_refused(list, &(BgBitmapSpec){"first", 9, 1, false, false, false}, EEXIST);
  assert_refused(list, &(BgBitmapSpec){"x", 8, 1, false, false, false}, EINVAL);
  assert_refused(list, &(BgBitmapSpec){"x", 32, 1, false, false, false}, EINVAL);
  assert_refused(list, &(BgBitmapSpec){"x", 9, half + 1, false, false, false}, E2BIG);
  assert_refused(list, &(BgBitmapSpec){"x", 9, INT64_MAX, false, false, false}, E2BIG);
  BgBitmap *second = add(list, "second", 16, half, true);
  bg_bitmaps_resize(list, half * 4);
  cr_assert(bg_bitmap_is_inconsistent(first), "too large, and given up");
  cr_assert_not(bg_bitmap_is_inconsistent(second));
  bg_bitmaps_mark(list, 0, 1);
  uint64_t start, length;
  cr_assert_not(bg_bitmap_next(first, 0, &start, &length));
  bg_bitmap_set_recording(list, first, true);
  cr_assert_eq(atomic_load(&list->recording), 1, "it does not record again");
  bg_bitmaps_remove(list, first);
  add(list, "first", 9, half, true);
}

Test(bitmap, list_and_names)
{
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  add(list, "a", 9, 4096, true);
  BgBitmapSpec kept = {"kept", 20, 4096, true, true, false}, lost = {"lost", 60, 0, true, true, true};
  cr_assert_not_null(bg_bitmaps_add(list, &kept, NULL));
  BgBitmap *inconsistent = bg_bitmaps_add(list, &lost, NULL);
  cr_assert(bg_bitmap_is_inconsistent(inconsistent));
  cr_assert_eq(bg_bitmaps_find(list, "lost"), inconsistent);
  cr_assert_null(bg_bitmaps_find(list, "b"));
  g_autoptr(GPtrArray) infos = bg_bitmaps_look(list);
  cr_assert_eq(infos->len, 3);
  const BgBitmapInfo *last = infos->pdata[2];
  cr_assert_str_eq(last->name, "lost");
  cr_assert(last->inconsistent && last->persistent && !last->recording && last->granularity == UINT64_C(1) << 60);
  bg_bitmaps_remove_persistent(list);
  cr_assert_null(bg_bitmaps_find(list, "kept"));
  cr_assert_null(bg_bitmaps_find(list, "lost"));
  cr_assert_eq(atomic_load(&list->recording), 1);
}

/* ── threads ── */

enum { THREADS = 4, ROUNDS = 2000, STEP = 512 * THREADS };

typedef struct Worker {
  BgBitmaps *list;
  unsigned index;
} Worker;

/* Grows the node as it goes; every thread has bits of its own in the same words. */
static void *mark_all(void *data)
{
  const Worker *worker = data;
  for (uint64_t i = 0; i < ROUNDS; i++)
    bg_bitmaps_mark_growing(worker->list, i * STEP + worker->index * 512, 512);
  return NULL;
}

Test(bitmap, threads_lose_no_mark_while_it_grows)
{
  g_autoptr(BgBitmaps) list = bg_bitmaps_new();
  BgBitmap *bitmap = add(list, "b", 9, 0, true);
  pthread_t threads[THREADS];
  Worker workers[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i] = (Worker){list, i};
    pthread_create(&threads[i], NULL, mark_all, &workers[i]);
  }
  for (int i = 0; i < 50; i++)
    cr_assert_leq(count(list, 0), (uint64_t)ROUNDS * STEP);
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  g_autofree char *all = g_strdup_printf("0+%d", ROUNDS * STEP);
  assert_dirty(bitmap, all);
}
