#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/layout.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static uint64_t header_bits(BgChild *file, unsigned at)
{
  return qcow2_get64(mem_child_data(file) + at);
}

static BgChild *make(unsigned at, uint64_t bits)
{
  BgChild *file = image_create(1 << 20, NULL, NULL, NULL);
  qcow2_put64(mem_child_data(file) + at, bits);
  return file;
}

/* Readable without a byte changed, and no writer is let in, with a reason. */
static void assert_only_readable(unsigned at, uint64_t bits, const char *says)
{
  g_autoptr(BgChild) file = make(at, bits);
  mem_child_reset_counts(file);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  cr_assert_not_null(image);
  uint8_t bytes[512];
  cr_assert_eq(image_read(image, bytes, sizeof bytes, 0), 0);
  const BgDriver *driver = bg_driver_find("qcow2");
  for (int settled = 0; settled < 2; settled++) {
    g_autoptr(GError) error = NULL;
    BgMode mode = {.writable = true};
    cr_assert_not(settled ? image_set_writable(image, true, &error)
                          : driver->can_change(image_instance(image), &mode, &error));
    cr_assert_eq(error->code, EROFS);
    cr_assert_not_null(strstr(error->message, says), "%s", error->message);
  }
  image_close(image);
  cr_assert_eq(mem_child_count(file, MEM_WRITES | MEM_FLUSH), 0);
}

Test(qcow2_change, corrupt_takes_no_writer)
{
  assert_only_readable(QCOW2_H_INCOMPATIBLE, QCOW2_INCOMPAT_CORRUPT, "marked as corrupt");
}

Test(qcow2_change, first_writer_clears_unknown_autoclear_bits)
{
  g_autoptr(BgChild) file = make(QCOW2_H_AUTOCLEAR, UINT64_C(1) << 40 | 2);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  cr_assert_neq(header_bits(file, QCOW2_H_AUTOCLEAR), 0);
  mem_child_record(file);
  cr_assert(image_set_writable(image, true, NULL));
  cr_assert_eq(header_bits(file, QCOW2_H_AUTOCLEAR), 0);
  cr_assert(mem_child_record_is_flush(file, mem_child_record_length(file) - 1), "durable before anything else");
  image_close(image);
}

Test(qcow2_change, lazy_refcounts_mark_dirty_while_writable)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "lazy_refcounts=on", NULL, NULL);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  mem_child_record(file);
  cr_assert(image_set_writable(image, true, NULL));
  cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), QCOW2_INCOMPAT_DIRTY);
  cr_assert(mem_child_record_is_flush(file, mem_child_record_length(file) - 1));
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  cr_assert(image_set_writable(image, false, NULL));
  cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), 0);
  cr_assert_eq(header_bits(file, QCOW2_H_COMPATIBLE), QCOW2_COMPAT_LAZY, "the lazy flag stays");
  size_t last = mem_child_record_length(file) - 1;
  cr_assert(mem_child_record_is_flush(file, last) && mem_child_record_is_flush(file, last - 2),
            "everything is durable before the mark goes");
  image_close(image);
  image_assert_sound(file, false);
}

/* A change that is given up leaves the header as it was, whichever way it went. */
Test(qcow2_change, abort_sets_marks_back)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "lazy_refcounts=on", NULL, NULL);
  qcow2_put64(mem_child_data(file) + QCOW2_H_AUTOCLEAR, 8);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  const BgDriver *driver = bg_driver_find("qcow2");
  void *instance = image_instance(image), *pending;
  g_autoptr(BgDict) none = bg_dict_new();
  g_autofree void *options = g_malloc0(driver->options_size);
  cr_assert(bg_options_parse(driver->options, none, options, NULL));
  BgMode up = {.writable = true};
  cr_assert(driver->change_open(instance, &up, options, &pending, NULL));
  cr_assert(driver->change_settle(instance, pending, NULL));
  cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), QCOW2_INCOMPAT_DIRTY);
  driver->change_abort(instance, pending);
  cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), 0);
  cr_assert_eq(header_bits(file, QCOW2_H_AUTOCLEAR), 8);

  cr_assert(image_set_writable(image, true, NULL));
  cr_assert(driver->change_open(instance, &(BgMode){0}, options, &pending, NULL));
  cr_assert(driver->change_settle(instance, pending, NULL));
  cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), 0);
  driver->change_abort(instance, pending);
  cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), QCOW2_INCOMPAT_DIRTY);
  cr_assert_eq(image_write(image, "x", 1, 0), 0, "it is writable as before");
  image_close(image);
  image_assert_sound(file, false);
}

/* Each call on the way up or down fails once; then the change works. */
Test(qcow2_change, failures_leave_it_as_it_was)
{
  for (int down = 0; down < 2; down++)
    for (unsigned nth = 1;; nth++) {
      g_autoptr(BgChild) file = image_create(1 << 20, "lazy_refcounts=on", NULL, NULL);
      Image *image = image_open(file, NULL, NULL, 0, NULL);
      if (down) {
        cr_assert(image_set_writable(image, true, NULL));
        cr_assert_eq(image_write(image, "x", 1, 5), 0);
      }
      g_autoptr(GError) error = NULL;
      mem_child_fail(file, MEM_ALL, nth, ENOLINK, false);
      bool changed = image_set_writable(image, !down, &error), came = mem_child_has_failed(file);
      mem_child_fail(file, 0, 0, 0, false);
      cr_assert_eq(changed, !came);
      if (came)
        cr_assert_eq(error->code, ENOLINK);
      if (came)
        cr_assert(image_set_writable(image, !down, NULL), "down %d, call %u", down, nth);
      image_close(image);
      image_assert_sound(file, false);
      cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), 0);
      if (!came)
        break;
    }
}

/* Somebody else wrote to the image between the opening and the first writer. */
Test(qcow2_change, image_is_read_again)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  Image *reader = image_open(file, NULL, NULL, 0, NULL);
  uint8_t bytes[3];
  cr_assert_eq(image_read(reader, bytes, 3, 100), 0);
  Image *other = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_resize(other, 4 << 20), 0);
  cr_assert_eq(image_write(other, "abc", 3, 100), 0);
  image_close(other);
  cr_assert(image_set_writable(reader, true, NULL));
  cr_assert_eq(image_size(reader), 4 << 20);
  cr_assert_eq(image_read(reader, bytes, 3, 100), 0);
  cr_assert_eq(memcmp(bytes, "abc", 3), 0);
  cr_assert_eq(image_write(reader, "d", 1, 3 << 20), 0);
  image_close(reader);
  image_assert_sound(file, false);
}

Test(qcow2_change, another_image_in_its_place_is_refused)
{
  g_autoptr(BgChild) file = image_create(1 << 20, NULL, NULL, NULL);
  g_autoptr(BgChild) other = image_create(1 << 20, "cluster_size=32K", NULL, NULL);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  cr_assert_eq(bg_child_pwrite(file, mem_child_data(other), other->ops->size(other), 0), 0);
  g_autoptr(GError) error = NULL;
  cr_assert_not(image_set_writable(image, true, &error));
  cr_assert_eq(error->code, ESTALE);
  image_close(image);
}

/* The option goes before the header, and does not change what the header says of it. */
Test(qcow2_change, lazy_refcounts_by_option)
{
  for (unsigned lazy = 0; lazy < 2; lazy++) {
    g_autoptr(BgChild) file = image_create(1 << 20, lazy ? "lazy_refcounts=on" : NULL, NULL, NULL);
    uint64_t compatible = header_bits(file, QCOW2_H_COMPATIBLE);
    Image *image = image_open_writable(file, lazy ? "lazy-refcounts=off" : "lazy-refcounts=on", NULL, 0);
    cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), lazy ? 0 : QCOW2_INCOMPAT_DIRTY);
    cr_assert_eq(image_write(image, "abc", 3, 5000), 0);
    image_close(image);
    cr_assert_eq(header_bits(file, QCOW2_H_INCOMPATIBLE), 0);
    cr_assert_eq(header_bits(file, QCOW2_H_COMPATIBLE), compatible);
    image_assert_sound(file, false);
  }
  g_autoptr(BgChild) old = image_create(1 << 20, "compat=0.10", NULL, NULL);
  g_autoptr(GError) error = NULL;
  cr_assert_null(image_open(old, "lazy-refcounts=on", NULL, 0, &error));
  cr_assert_not_null(strstr(error->message, "lazy-refcounts needs"), "%s", error->message);
}
