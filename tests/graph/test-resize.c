#include "scratch.h"

#include "graph/create.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(resize, .timeout = 60);

enum { CLUSTER = 64 * 1024, OLD = CLUSTER + 1024, NEW = 4 * CLUSTER };

/* disk (qcow2, OLD bytes) ─ disk.file
 *   └ backing (raw, NEW bytes of 'b') */
static BgNode *add_short_overlay(Scratch *scratch)
{
  g_autoptr(GError) error = NULL;
  scratch_file(scratch, "base.raw", NEW, 'b');
  g_autofree char *path = scratch_path(scratch, "disk.qcow2");
  cr_assert(bg_create_image("qcow2", path, OLD, NULL, "base.raw", "raw", NULL, &error), "%s", error ? error->message : "");
  return scratch_add(scratch, "driver=qcow2,node-name=disk,auto-read-only=on,file.driver=file,"
                              "file.filename=@/disk.qcow2");
}

static int byte_at(BgUser *user, uint64_t offset)
{
  unsigned char byte = 0;
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_preadv(user, &iov, 1, offset), 1);
  return byte;
}

Test(resize, what_is_new_reads_as_zeros_though_the_backing_disk_is_longer)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_short_overlay(&scratch);
  BgUser *user = scratch_writer(disk);
  cr_assert_eq(byte_at(user, OLD - 1), 'b');
  cr_assert_eq(bg_user_resize(user, NEW, NULL), 0);
  cr_assert_eq(bg_node_size(disk), NEW);
  cr_assert_eq(byte_at(user, OLD - 1), 'b', "what was there stays");
  for (uint64_t offset = OLD; offset < NEW; offset += 511)
    cr_assert_eq(byte_at(user, offset), 0, "at %" G_GUINT64_FORMAT, offset);
  cr_assert_eq(byte_at(user, NEW - 1), 0);
  bg_user_free(user);
  scratch_clear(&scratch);
}

Test(resize, a_window_of_fixed_size_cannot_be_resized)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  scratch_file(&scratch, "base.raw", CLUSTER, 'b');
  BgNode *disk = scratch_add(&scratch, "driver=raw,node-name=disk,size=4096,auto-read-only=on,file.driver=file,"
                                       "file.filename=@/base.raw");
  BgUser *user = scratch_writer(disk);
  g_autoptr(GError) error = NULL;
  cr_assert_lt(bg_user_resize(user, 8192, &error), 0);
  cr_assert_not_null(error);
  cr_assert_eq(bg_node_size(disk), 4096);
  bg_user_free(user);
  scratch_clear(&scratch);
}
