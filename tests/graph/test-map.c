#include "graph/map.h"

#include "graph/create.h"
#include "tests/graph/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(map, .timeout = 60);

enum { CLUSTER = 65536, BASE = 4 * CLUSTER, SIZE = 6 * CLUSTER };

/* disk (qcow2): cluster 1 written, cluster 2 zeros, the rest the backing disk's, which is shorter. */
static BgNode *add_overlay(Scratch *scratch)
{
  g_autoptr(GError) error = NULL;
  scratch_file(scratch, "base.raw", BASE, 'b');
  g_autofree char *path = scratch_path(scratch, "disk.qcow2");
  cr_assert(bg_create_image("qcow2", path, SIZE, NULL, "base.raw", "raw", NULL, &error), "%s",
            error ? error->message : "");
  BgNode *disk = scratch_add(scratch, "driver=qcow2,node-name=disk,auto-read-only=on,file.driver=file,"
                                      "file.filename=@/disk.qcow2");
  char data[CLUSTER];
  struct iovec iov = {memset(data, 'd', CLUSTER), CLUSTER};
  BgUser *user = scratch_writer(disk);
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, CLUSTER), CLUSTER);
  cr_assert_eq(bg_user_zero(user, 2 * CLUSTER, CLUSTER, BG_USER_ZERO_NONE), 0);
  bg_user_free(user);
  return disk;
}

static void check_at(BgUser *user, uint64_t offset, uint64_t length, unsigned depth, bool present, bool zero, bool data)
{
  BgMapped mapped;
  cr_assert_eq(bg_user_map(user, offset, &mapped), 0);
  cr_assert_eq(mapped.start, offset);
  cr_assert_eq(mapped.length, length, "length %" G_GUINT64_FORMAT " at %" G_GUINT64_FORMAT, mapped.length, offset);
  cr_assert_eq(mapped.depth, depth);
  cr_assert_eq(mapped.present, present);
  cr_assert_eq(mapped.zero, zero);
  cr_assert_eq(mapped.data, data);
  cr_assert(!mapped.compressed);
}

Test(map, tells_which_disk_of_the_chain_holds_what)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgUser *user = scratch_reader(add_overlay(&scratch));
  check_at(user, 0, CLUSTER, 1, true, false, true);
  check_at(user, CLUSTER, CLUSTER, 0, true, false, true);
  check_at(user, 2 * CLUSTER, CLUSTER, 0, true, true, false);
  check_at(user, 3 * CLUSTER + 100, CLUSTER - 100, 1, true, false, true);
  BgMapped mapped;
  cr_assert_eq(bg_user_map(user, BASE, &mapped), 0);
  cr_assert(!mapped.present && mapped.zero && !mapped.data && !mapped.storage,
            "behind the backing disk there is nothing");
  cr_assert_eq(mapped.length, SIZE - BASE);
  bg_user_free(user);
  scratch_clear(&scratch);
}

static void assert_stored_in(const BgMapped *mapped, const char *filename)
{
  g_autofree char *name = bg_node_filename(mapped->storage);
  cr_assert_str_eq(name, filename);
}

Test(map, names_the_storage_and_the_place_in_it)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgUser *user = scratch_reader(add_overlay(&scratch));
  BgMapped mapped;
  cr_assert_eq(bg_user_map(user, 3 * CLUSTER + 100, &mapped), 0);
  g_autofree char *base = scratch_path(&scratch, "base.raw"), *disk = scratch_path(&scratch, "disk.qcow2");
  assert_stored_in(&mapped, base);
  cr_assert_eq(mapped.offset, 3 * CLUSTER + 100);
  cr_assert_eq(bg_user_map(user, CLUSTER + 7, &mapped), 0);
  assert_stored_in(&mapped, disk);
  cr_assert_eq(mapped.offset % CLUSTER, 7);
  bg_user_free(user);
  scratch_clear(&scratch);
}
