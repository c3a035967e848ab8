/* Bitmaps that come, go, and are changed other than by writers. */
#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(qcow2_bitmaps_change, .timeout = 120);

enum { SIZE = 1 << 20 };

#define EMPTY(cluster) "qemu-img create -q -f qcow2 -o cluster_size=" cluster " $1/out 1M"
#define OVERLAY        "qemu-img create -q -f qcow2 -u -b some-base -F raw $1/out 1M"
#define TWO                                                                                                            \
  "qemu-img create -q -f qcow2 $1/out 1M && qemu-img bitmap --add -g 512 $1/out a && "                                 \
  "qemu-img bitmap --add --disable -g 512 $1/out off"

static const BgDriver *driver(void)
{
  return bg_driver_find("qcow2");
}

static bool keep(Image *image, const char *name, bool recording, GError **error)
{
  BgBitmapSpec spec = {name, 9, image_size(image), recording, true, false, false};
  BgBitmap *bitmap = bg_bitmaps_add(image_bitmaps(image), &spec, NULL);
  cr_assert_not_null(bitmap);
  if (driver()->bitmap_keep(image_instance(image), bitmap, error))
    return true;
  bg_bitmaps_remove(image_bitmaps(image), bitmap);
  return false;
}

static void drop(Image *image, const char *name)
{
  cr_assert(driver()->bitmap_touch(image_instance(image), name, NULL));
  driver()->bitmap_forget(image_instance(image), name);
  bg_bitmaps_remove(image_bitmaps(image), bg_bitmaps_find(image_bitmaps(image), name));
}

/* "NAME DIRTY" of each, DIRTY in granules, '?' if it is inconsistent, with '!' if it records; of a reader. */
static char *kept(BgChild *file)
{
  g_autofree uint8_t *backing = g_malloc0(SIZE);
  Image *image = image_open(file, NULL, backing, SIZE, NULL);
  cr_assert_not_null(image);
  g_autoptr(GPtrArray) infos = driver()->kept_bitmaps(image_instance(image));
  GString *text = g_string_new(NULL);
  for (guint i = 0; infos && i < infos->len; i++) {
    const BgBitmapInfo *info = infos->pdata[i];
    g_string_append_printf(text, "%s%s ", text->len ? ", " : "", info->name);
    if (info->inconsistent)
      g_string_append_c(text, '?');
    else
      g_string_append_printf(text, "%u%s", (unsigned)(info->count / 512), info->recording ? "!" : "");
  }
  image_close(image);
  return g_string_free(text, FALSE);
}

static void assert_kept(BgChild *file, const char *expected)
{
  g_autofree char *text = kept(file);
  cr_assert_str_eq(text, expected, "%s, not %s", text, expected);
}

static Image *open_writable(BgChild *file)
{
  static const uint8_t backing[SIZE];
  return image_open_writable(file, NULL, backing, SIZE);
}

static bool vouched(BgChild *file)
{
  return qcow2_get64(mem_child_data(file) + QCOW2_H_AUTOCLEAR) & QCOW2_AUTOCLEAR_BITMAPS;
}

static void assert_sound(BgChild *file)
{
  image_assert_sound(file, false);
  if (!qcow2_get64(mem_child_data(file) + QCOW2_H_BACKING_OFFSET)) /* which it would open */
    cr_assert_eq(image_qemu_check(file), 0);
}

static BgChild *copy_of(BgChild *file)
{
  BgChild *copy = mem_child_new(0);
  copy->ops->resize(copy, file->ops->size(file));
  memcpy(mem_child_data(copy), mem_child_data(file), file->ops->size(file));
  return copy;
}

/* ── new ones ── */

Test(qcow2_bitmaps_change, new_ones_are_stored_with_the_last_writer)
{
  static const char *const scripts[] = {EMPTY("512"), EMPTY("4k"), EMPTY("64k"), EMPTY("2M"), OVERLAY, TWO};
  for (unsigned i = 0; i < G_N_ELEMENTS(scripts); i++) {
    g_autoptr(BgChild) file = image_require_shell(scripts[i]);
    bool two = strcmp(scripts[i], TWO) == 0;
    Image *image = open_writable(file);
    cr_assert(keep(image, "n", true, NULL));
    cr_assert(keep(image, "o", false, NULL));
    cr_assert_eq(vouched(file), two, "nothing is on disk yet");
    cr_assert_eq(image_write(image, "x", 1, 5000), 0);
    image_close(image);
    cr_assert(vouched(file));
    assert_kept(file, two ? "a 1!, off 0, n 1!, o 0" : "n 1!, o 0");
    assert_sound(file);
    uint64_t name = qcow2_get64(mem_child_data(file) + QCOW2_H_BACKING_OFFSET);
    cr_assert(!name || memcmp(mem_child_data(file) + name, "some-base", 9) == 0, "it was moved");
    image = open_writable(file);
    cr_assert_eq(image_write(image, "x", 1, 0), 0);
    image_kill(image);
    assert_kept(file, two ? "a ?, off 0, n ?, o 0" : "n ?, o 0");
  }
}

Test(qcow2_bitmaps_change, one_that_was_never_stored_is_not_there_after_a_crash)
{
  g_autoptr(BgChild) file = image_require_shell(TWO);
  Image *image = open_writable(file);
  cr_assert(keep(image, "n", true, NULL));
  cr_assert_eq(image_write(image, "x", 1, 5000), 0);
  image_kill(image);
  assert_kept(file, "a ?, off 0");
}

static void assert_refused(const char *script, const char *name, int code)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgChild) file = image_require_shell(script);
  Image *image = open_writable(file);
  cr_assert_not(keep(image, name, true, &error));
  cr_assert_eq(error->code, code, "%s", error->message);
  image_close(image);
  cr_assert_not(vouched(file));
  assert_sound(file);
}

Test(qcow2_bitmaps_change, what_no_image_can_keep)
{
  g_autofree char *name = g_strnfill(QCOW2_MAX_BITMAP_NAME + 1, 'n');
  assert_refused(EMPTY("64k"), name, EINVAL);
  assert_refused(EMPTY("64k"), "a\nb", EINVAL);
  assert_refused("qemu-img create -q -f qcow2 -o compat=0.10 $1/out 1M", "n", ENOTSUP);
  g_autofree char *file = g_strnfill(370, 'f');
  g_autofree char *full =
      g_strdup_printf("qemu-img create -q -f qcow2 -o cluster_size=512 -u -b %s -F raw $1/out 1M", file);
  assert_refused(full, "n", ENOSPC); /* the header fills its cluster */
}

/* ── those that are there ── */

Test(qcow2_bitmaps_change, who_does_not_record_is_marked_before_it_is_changed)
{
  g_autoptr(BgChild) file = image_require_shell(TWO);
  Image *image = open_writable(file);
  cr_assert(driver()->bitmap_touch(image_instance(image), "off", NULL));
  bg_bitmap_set(bg_bitmaps_find(image_bitmaps(image), "off"), 0, 1024);
  bg_bitmap_set_recording(image_bitmaps(image), bg_bitmaps_find(image_bitmaps(image), "a"), false);
  g_autoptr(BgChild) crashed = copy_of(file);
  assert_kept(crashed, "a ?, off ?");
  image_close(image);
  assert_kept(file, "a 0, off 2");
  assert_sound(file);
}

Test(qcow2_bitmaps_change, the_last_one_takes_the_extension_along)
{
  g_autoptr(BgChild) file = image_require_shell(TWO);
  Image *image = open_writable(file);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  drop(image, "a");
  cr_assert(image_set_writable(image, false, NULL));
  assert_kept(file, "off 0");
  assert_sound(file);
  cr_assert(image_set_writable(image, true, NULL));
  drop(image, "off");
  image_close(image);
  cr_assert_not(vouched(file));
  assert_kept(file, "");
  assert_sound(file);
  image = open_writable(file);
  cr_assert(keep(image, "again", true, NULL));
  image_close(image);
  assert_kept(file, "again 0!");
  assert_sound(file);
}

Test(qcow2_bitmaps_change, one_that_cannot_be_used_goes_with_all_its_space)
{
  g_autoptr(BgChild) file = image_require_shell(TWO);
  Image *image = open_writable(file);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  image_close(image); /* so that it has bits in a cluster */
  image = open_writable(file);
  cr_assert_eq(image_write_back(image), 0);
  image_kill(image);
  assert_kept(file, "a ?, off 0");
  image = open_writable(file);
  drop(image, "a");
  image_close(image);
  assert_kept(file, "off 0");
  assert_sound(file);
}

/* ── failures ── */

/* Each call of the way down fails once; then a writer comes, and is killed, or goes in peace. A bitmap that counts as valid knows all that was
 * written since it was made. */
static void fail_down(const char *script, int err, bool peace)
{
  bool two = strcmp(script, TWO) == 0;
  g_autoptr(BgChild) made = image_require_shell(script);
  for (unsigned nth = 1;; nth++) {
    g_autoptr(BgChild) file = copy_of(made);
    Image *image = open_writable(file);
    cr_assert(keep(image, "n", true, NULL));
    if (two)
      drop(image, "off");
    cr_assert_eq(image_write(image, "x", 1, 5), 0);
    mem_child_fail(file, MEM_ALL, nth, err, false);
    image_set_writable(image, false, NULL);
    bool came = mem_child_has_failed(file);
    mem_child_fail(file, 0, 0, 0, false);
    cr_assert(image_set_writable(image, true, NULL), "call %u", nth);
    cr_assert_eq(image_write(image, "y", 1, SIZE / 2), 0);
    if (peace)
      image_close(image);
    else
      image_kill(image);
    image_assert_sound(file, true);
    g_autofree char *text = kept(file);
    bool good = !*text || g_str_has_suffix(text, "n 2!") || g_str_has_suffix(text, "?") ||
                g_str_has_suffix(text, "off 0") || g_str_has_suffix(text, "a 2!");
    cr_assert(good, "call %u: %s", nth, text);
    if (!came)
      break;
  }
}

Test(qcow2_bitmaps_change, failures_on_the_way_down)
{
  for (int peace = 0; peace < 2; peace++) {
    fail_down(EMPTY("4k"), EIO, peace);
    fail_down(OVERLAY, EIO, peace);
    fail_down(TWO, ENOSPC, peace);
    fail_down(TWO, EIO, peace);
  }
}
