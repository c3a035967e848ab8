#include "scratch.h"

#include "graph/create.h"
#include "graph/query.h"
#include "graph/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(snapshot, .timeout = 60);

/* disk (qcow2) ─ disk.file; its size is 1 MiB */
static BgNode *add_disk(Scratch *scratch)
{
  g_autofree char *path = scratch_path(scratch, "disk.qcow2");
  cr_assert(bg_create_image("qcow2", path, 1 << 20, NULL, NULL, NULL, NULL, NULL));
  return scratch_add(scratch,
                     "driver=qcow2,node-name=disk,auto-read-only=on,file.driver=file,file.filename=@/disk.qcow2");
}

static void fill(BgUser *user, char byte)
{
  char bytes[4096];
  memset(bytes, byte, sizeof bytes);
  struct iovec iov = {bytes, sizeof bytes};
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 0), (ssize_t)sizeof bytes);
}

static char first_byte(BgUser *user)
{
  char byte = 0;
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_preadv(user, &iov, 1, 0), 1);
  return byte;
}

Test(snapshot, comes_beside_a_writer_and_stays_as_it_is)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  BgUser *writer = scratch_writer(disk);
  fill(writer, 'a');
  cr_assert(bg_node_snapshot_create(disk, "x", NULL));
  BgNode *view = bg_graph_find(scratch.graph, "disk@x");
  cr_assert_not_null(view);
  fill(writer, 'b');
  BgUser *reader = scratch_reader(view);
  cr_assert_eq(first_byte(reader), 'a');
  cr_assert_not(bg_node_has_foreign_writer(view));
  uint64_t generation = bg_node_generation(view);
  fill(writer, 'c');
  cr_assert_eq(first_byte(reader), 'a');
  cr_assert_eq(bg_node_generation(view), generation);
  bg_user_free(reader);
  bg_user_free(writer);
  scratch_clear(&scratch);
}

Test(snapshot, is_never_written)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  cr_assert(bg_node_snapshot_create(add_disk(&scratch), "x", NULL));
  g_autoptr(GError) error = NULL;
  BgNode *view = bg_graph_find(scratch.graph, "disk@x");
  cr_assert_not(bg_node_writable(view));
  cr_assert_null(scratch_try_writer(view, &error));
  cr_assert_eq(error->code, EROFS);
  cr_assert_not_null(strstr(error->message, "internal snapshot"));
  scratch_clear(&scratch);
}

Test(snapshot, in_use_is_not_deleted)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  cr_assert(bg_node_snapshot_create(disk, "x", NULL));
  BgNode *view = bg_graph_find(scratch.graph, "disk@x");
  BgUser *reader = bg_user_new(view, "file 'disk@x'", BG_USER_READ_PERM, BG_USER_READ_SHARED, NULL);
  g_autoptr(GError) error = NULL, refusal = NULL, removal = NULL;
  cr_assert_not(bg_node_snapshot_delete(disk, "1", &error));
  cr_assert_eq(error->code, EBUSY);
  cr_assert_not_null(strstr(error->message, "file 'disk@x'"));
  cr_assert_not(bg_node_snapshot_apply(disk, "1", &refusal));
  cr_assert_eq(refusal->code, EBUSY);
  cr_assert_not(bg_graph_remove(scratch.graph, disk, &removal));
  cr_assert_eq(removal->code, EBUSY);
  bg_user_free(reader);
  cr_assert(bg_node_snapshot_delete(disk, "1", NULL));
  cr_assert_null(bg_graph_find(scratch.graph, "disk@x"));
  cr_assert(bg_node_snapshot_create(disk, "y", NULL));
  cr_assert(bg_graph_remove(scratch.graph, disk, NULL));
  cr_assert_null(bg_graph_find(scratch.graph, "disk@y"));
  scratch_clear(&scratch);
}

Test(snapshot, apply_brings_back_content)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  BgUser *writer = scratch_writer(disk);
  fill(writer, 'a');
  cr_assert(bg_node_snapshot_create(disk, "x", NULL));
  fill(writer, 'b');
  bg_user_free(writer);
  uint64_t generation = bg_node_generation(disk);
  cr_assert(bg_node_snapshot_apply(disk, "1", NULL));
  cr_assert_gt(bg_node_generation(disk), generation);
  BgUser *reader = scratch_reader(disk);
  cr_assert_eq(first_byte(reader), 'a');
  bg_user_free(reader);
  scratch_clear(&scratch);
}

Test(snapshot, names_are_escaped_and_unique)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  cr_assert(bg_node_snapshot_create(disk, "a/b\n", NULL));
  cr_assert(bg_node_snapshot_create(disk, "x", NULL));
  cr_assert(bg_node_snapshot_create(disk, "x", NULL));
  cr_assert_not_null(bg_graph_find(scratch.graph, "disk@a\\x2fb\\n"));
  cr_assert_not_null(bg_graph_find(scratch.graph, "disk@x"));
  cr_assert_not_null(bg_graph_find(scratch.graph, "disk@x-2"));
  g_autofree char *tree = bg_query_tree(scratch.graph);
  cr_assert(g_str_has_prefix(tree, "disk ("), "%s", tree);
  g_autoptr(GPtrArray) list = bg_node_snapshots(disk);
  g_autoptr(GError) error = NULL;
  cr_assert_null(bg_snapshots_find(list, "x", &error));
  cr_assert_eq(error->code, EINVAL);
  cr_assert_str_eq(bg_snapshots_find(list, "3", NULL)->name, "x");
  scratch_clear(&scratch);
}

Test(snapshot, formats_without_any)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  scratch_file(&scratch, "disk.raw", 4096, 'a');
  BgNode *disk =
      scratch_add(&scratch, "driver=raw,node-name=disk,auto-read-only=on,file.driver=file,file.filename=@/disk.raw");
  g_autoptr(GError) error = NULL;
  cr_assert_null(bg_node_snapshots(disk));
  cr_assert_not(bg_node_snapshot_create(disk, "x", &error));
  cr_assert_eq(error->code, ENOTSUP);
  scratch_clear(&scratch);
}
