#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/image.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(qcow2_backing, .timeout = 60);

typedef struct Shape {
  const char *options, *backing;
} Shape;

static const Shape shapes[] = {
    {NULL, "base.qcow2"},
    {"cluster_size=512", "base.qcow2"},
    {"compat=0.10", "base.qcow2"},
    {NULL, NULL},
    {"cluster_size=4096,lazy_refcounts=on", NULL},
};

/* Opens the file and tells what is recorded: "FILE (FORMAT)", "none". */
static char *recorded(BgChild *file)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *name = NULL, *format = NULL;
  Image *image = image_open(file, NULL, NULL, 0, &error);
  cr_assert_not_null(image, "%s", error ? error->message : "");
  qcow2_backing(image_instance(image), &name, &format);
  image_close(image);
  return name ? g_strdup_printf("%s (%s)", name, format) : g_strdup("none");
}

static void assert_recorded(BgChild *file, const char *expected)
{
  g_autofree char *text = recorded(file);
  cr_assert_str_eq(text, expected);
}

static void change(Image *image, const char *name, const char *format)
{
  g_autoptr(GError) error = NULL;
  cr_assert(qcow2_change_backing(image_instance(image), name, format, &error), "%s", error ? error->message : "");
}

static BgChild *make(const Shape *shape)
{
  g_autoptr(GError) error = NULL;
  BgChild *file = image_create(1 << 20, shape->options, shape->backing, &error);
  cr_assert_not_null(file, "%s", error ? error->message : "");
  return file;
}

Test(qcow2_backing, is_changed_again_and_again)
{
  for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
    g_autoptr(BgChild) file = make(&shapes[i]);
    Image *image = image_open_writable(file, NULL, NULL, 0);
    static const char *const names[] = {"b", "another-name.qcow2", "a/very/much/longer/name/of/a/file.raw", "c"};
    for (size_t k = 0; k < G_N_ELEMENTS(names); k++) {
      g_autofree char *expected = g_strdup_printf("%s (%s)", names[k], k % 2 ? "qcow2" : "raw");
      change(image, names[k], k % 2 ? "qcow2" : "raw");
      assert_recorded(file, expected);
    }
    change(image, NULL, NULL);
    assert_recorded(file, "none");
    change(image, "x", "raw");
    assert_recorded(file, "x (raw)");
    image_close(image);
    assert_recorded(file, "x (raw)");
    image_assert_sound(file, false);
  }
}

Test(qcow2_backing, leaves_the_other_extensions_alone)
{
  g_autoptr(BgChild) file = image_require_shell(
      "cd $1; qemu-img create -q -f qcow2 out 1M; qemu-img bitmap --add out x; qemu-img bitmap --add out y");
  Image *image = image_open_writable(file, NULL, NULL, 0);
  uint8_t byte = 1;
  change(image, "base", "raw");
  cr_assert_eq(image_write(image, &byte, 1, 0), 0);
  image_close(image);
  assert_recorded(file, "base (raw)");
  image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_not_null(bg_bitmaps_find(image_bitmaps(image), "x"));
  cr_assert_not_null(bg_bitmaps_find(image_bitmaps(image), "y"));
  change(image, NULL, NULL);
  image_close(image);
  cr_assert_eq(image_qemu_check(file), 0);
}

Test(qcow2_backing, refuses_what_has_no_room)
{
  g_autoptr(BgChild) file = make(&shapes[1]);
  g_autofree char *longer = g_strnfill(500, 'x'), *longest = g_strnfill(1024, 'x');
  g_autoptr(GError) error = NULL, other = NULL, empty = NULL;
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_not(qcow2_change_backing(image_instance(image), longer, "raw", &error));
  cr_assert_eq(error->code, ENOSPC);
  cr_assert_not(qcow2_change_backing(image_instance(image), longest, "raw", &other));
  cr_assert_eq(other->code, EINVAL);
  cr_assert_not(qcow2_change_backing(image_instance(image), "", "raw", &empty));
  cr_assert_eq(empty->code, EINVAL);
  image_close(image);
  assert_recorded(file, "base.qcow2 (raw)");
}

Test(qcow2_backing, failures_leave_the_old_record)
{
  for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++)
    for (uint64_t nth = 1; nth <= 4; nth++) {
      g_autoptr(BgChild) file = make(&shapes[i]);
      g_autofree char *before = recorded(file);
      g_autoptr(GError) error = NULL;
      Image *image = image_open_writable(file, NULL, NULL, 0);
      mem_child_fail(file, MEM_PWRITEV, nth, EIO, false);
      bool done = qcow2_change_backing(image_instance(image), "other", "raw", &error);
      bool failed = mem_child_has_failed(file);
      mem_child_fail(file, MEM_PWRITEV, 0, 0, false);
      cr_assert_neq(done, failed);
      image_close(image);
      assert_recorded(file, done ? "other (raw)" : before);
    }
}

/* Which of the calls after the last flush reached the disk. */
typedef struct Cut {
  size_t flushed; /* so many calls at the beginning did in any case */
  uint32_t kept;  /* a bit for each call */
} Cut;

static bool keep(size_t index, void *data)
{
  const Cut *cut = data;
  return index < cut->flushed || (cut->kept >> index & 1);
}

static size_t count_flushed(BgChild *file, size_t length)
{
  while (length > 0 && !mem_child_record_is_flush(file, length - 1))
    length--;
  return length;
}

/* A power cut after each call, which loses any of those that no flush followed. */
Test(qcow2_backing, is_the_old_or_the_new_after_a_crash)
{
  for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
    g_autoptr(BgChild) file = make(&shapes[i]);
    g_autofree char *before = recorded(file);
    Image *image = image_open_writable(file, NULL, NULL, 0);
    mem_child_record(file);
    change(image, "other.img", "qcow2");
    size_t calls = mem_child_record_length(file);
    cr_assert_leq(calls, 6);
    for (size_t length = 0; length <= calls; length++)
      for (uint32_t mask = 0; mask < 1u << length; mask++) {
        Cut cut = {count_flushed(file, length), mask};
        g_autoptr(BgChild) after = mem_child_replay(file, length, keep, &cut);
        g_autofree char *now = recorded(after);
        cr_assert(strcmp(now, before) == 0 || strcmp(now, "other.img (qcow2)") == 0, "%s", now);
        if (length == calls)
          cr_assert_str_eq(now, "other.img (qcow2)");
      }
    image_close(image);
  }
}
