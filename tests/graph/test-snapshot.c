#include "fake-snapshots.h"
#include "scratch.h"

#include "graph/create.h"
#include "graph/query.h"
#include "graph/snapshot.h"
#include "graph/view.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
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

/* ── with a driver whose snapshots are what the test says ── */

static BgNode *add_shots(Scratch *scratch, unsigned count)
{
  scratch_file(scratch, "disk.raw", 1 << 20, 'a');
  shots_set(count, 1 << 16);
  shots_fail(0);
  return scratch_add(scratch,
                     "driver=shots,node-name=disk,auto-read-only=on,file.driver=file,file.filename=@/disk.raw");
}

Test(snapshot, so_many_are_shown_and_no_more)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_shots(&scratch, BG_VIEWS_MAX + 10);
  g_autofree char *last = g_strdup_printf("disk@s%d", BG_VIEWS_MAX),
                  *one_more = g_strdup_printf("disk@s%d", BG_VIEWS_MAX + 1);
  cr_assert_not_null(bg_graph_find(scratch.graph, "disk@s1"));
  cr_assert_not_null(bg_graph_find(scratch.graph, last));
  cr_assert_null(bg_graph_find(scratch.graph, one_more));
  cr_assert(bg_node_snapshot_delete(disk, "1", NULL), "room for one");
  cr_assert_null(bg_graph_find(scratch.graph, "disk@s1"));
  cr_assert_not_null(bg_graph_find(scratch.graph, one_more));
  g_autofree char *id = g_strdup_printf("%d", BG_VIEWS_MAX + 10);
  cr_assert(bg_node_snapshot_delete(disk, id, NULL), "one that is not shown");
  scratch_clear(&scratch);
}

Test(snapshot, a_list_that_others_exchanged)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_shots(&scratch, 3);
  BgNode *kept = bg_graph_find(scratch.graph, "disk@s2");
  BgUser *reader = scratch_reader(kept);
  shots_set(2, 1 << 16);
  bg_views_sync(disk);
  cr_assert_eq(bg_graph_find(scratch.graph, "disk@s2"), kept, "the same snapshot is the same node");
  cr_assert_null(bg_graph_find(scratch.graph, "disk@s3"));
  shots_set(2, 1 << 17); /* ids and names that are used again */
  bg_views_sync(disk);
  char byte;
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_preadv(reader, &iov, 1, 0), -ESTALE, "its snapshot is gone");
  cr_assert_eq(bg_graph_find(scratch.graph, "disk@s2"), kept);
  cr_assert_null(bg_user_new(kept, "another", BG_USER_READ_PERM, BG_USER_READ_SHARED, NULL));
  cr_assert_eq(bg_node_size(bg_graph_find(scratch.graph, "disk@s2-2")), 1 << 17);
  bg_user_free(reader);
  bg_views_sync(disk);
  cr_assert_null(bg_graph_find(scratch.graph, "disk@s2"));
  cr_assert_not_null(bg_graph_find(scratch.graph, "disk@s2-2"));
  scratch_clear(&scratch);
}

Test(snapshot, failures_leave_the_views)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_shots(&scratch, 1);
  BgNode *view = bg_graph_find(scratch.graph, "disk@s1");
  g_autoptr(GError) create = NULL, apply = NULL, delete = NULL;
  shots_fail(ENOSPC);
  cr_assert_not(bg_node_snapshot_create(disk, "s2", &create));
  cr_assert_not(bg_node_snapshot_apply(disk, "1", &apply));
  cr_assert_not(bg_node_snapshot_delete(disk, "1", &delete));
  cr_assert_eq(create->code, ENOSPC);
  cr_assert_eq(apply->code, ENOSPC);
  cr_assert_eq(delete->code, ENOSPC);
  cr_assert_eq(bg_node_size(disk), 1 << 20);
  cr_assert_null(bg_graph_find(scratch.graph, "disk@s2"));
  cr_assert_eq(bg_graph_find(scratch.graph, "disk@s1"), view);
  BgUser *reader = scratch_reader(view);
  cr_assert_eq(first_byte(reader), 0);
  bg_user_free(reader);
  scratch_clear(&scratch);
}

/* All of the disk may be something else, and it may have another size. */
Test(snapshot, apply_marks_bitmaps)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_shots(&scratch, 1);
  const BgBitmapSpec spec = {.name = "b", .granularity_bits = 12, .size = 1 << 20, .recording = true};
  BgBitmap *bitmap = bg_bitmaps_add(disk->host.bitmaps, &spec, NULL);
  uint64_t start, length;
  cr_assert_not_null(bitmap);
  cr_assert_not(bg_bitmap_next(bitmap, 0, &start, &length));
  cr_assert(bg_node_snapshot_apply(disk, "1", NULL));
  cr_assert_eq(bg_bitmap_size(bitmap), 1 << 16);
  cr_assert(bg_bitmap_next(bitmap, 0, &start, &length));
  cr_assert_eq(start, 0);
  cr_assert_eq(length, 1 << 16);
  scratch_clear(&scratch);
}

/* ── beside others ── */

enum { THREADS_DISK = 1 << 20, THREADS_BLOCK = 16 << 10, THREADS_SNAPSHOTS = 12 };

typedef struct Busy {
  BgUser *user;
  _Atomic bool *stop;
  unsigned seed;
  _Atomic unsigned done;
} Busy;

static uint64_t next_offset(unsigned *seed)
{
  *seed = *seed * 1103515245 + 12345;
  return (*seed >> 8) % (THREADS_DISK / THREADS_BLOCK) * THREADS_BLOCK;
}

static void *keep_writing(void *data)
{
  Busy *busy = data;
  g_autofree char *bytes = g_malloc(THREADS_BLOCK);
  while (!atomic_load(busy->stop)) {
    memset(bytes, 'b' + (int)(busy->done % 20), THREADS_BLOCK);
    struct iovec iov = {bytes, THREADS_BLOCK};
    cr_assert_eq(bg_user_pwritev(busy->user, &iov, 1, next_offset(&busy->seed)), THREADS_BLOCK);
    busy->done++;
  }
  return NULL;
}

static void *keep_reading(void *data)
{
  Busy *busy = data;
  g_autofree char *bytes = g_malloc(THREADS_BLOCK), *expected = g_malloc(THREADS_BLOCK);
  memset(expected, 'a', THREADS_BLOCK);
  while (!atomic_load(busy->stop)) {
    struct iovec iov = {bytes, THREADS_BLOCK};
    cr_assert_eq(bg_user_preadv(busy->user, &iov, 1, next_offset(&busy->seed)), THREADS_BLOCK);
    cr_assert_arr_eq(bytes, expected, THREADS_BLOCK);
    busy->done++;
  }
  return NULL;
}

Test(snapshot, read_beside_writers_and_new_snapshots, .timeout = 120)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  BgUser *writer = scratch_writer(disk);
  g_autofree char *bytes = g_malloc(THREADS_DISK);
  memset(bytes, 'a', THREADS_DISK);
  struct iovec iov = {bytes, THREADS_DISK};
  cr_assert_eq(bg_user_pwritev(writer, &iov, 1, 0), THREADS_DISK);
  cr_assert(bg_node_snapshot_create(disk, "first", NULL));
  BgUser *reader = scratch_reader(bg_graph_find(scratch.graph, "disk@first"));
  _Atomic bool stop = false;
  Busy busy[] = {{writer, &stop, 1, 0}, {writer, &stop, 2, 0}, {reader, &stop, 3, 0}, {reader, &stop, 4, 0}};
  pthread_t threads[G_N_ELEMENTS(busy)];
  for (size_t i = 0; i < G_N_ELEMENTS(busy); i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, i < 2 ? keep_writing : keep_reading, &busy[i]), 0);
  for (unsigned i = 2; i < THREADS_SNAPSHOTS; i++) {
    g_autofree char *name = g_strdup_printf("s%u", i), *old = g_strdup_printf("%u", i - 1);
    unsigned written = busy[0].done;
    while (busy[0].done == written) /* the disk differs from the one before */
      g_usleep(1000);
    cr_assert(bg_node_snapshot_create(disk, name, NULL));
    cr_assert(i % 2 == 0 || bg_node_snapshot_delete(disk, old, NULL));
  }
  atomic_store(&stop, true);
  for (size_t i = 0; i < G_N_ELEMENTS(busy); i++) {
    pthread_join(threads[i], NULL);
    cr_assert_gt(busy[i].done, 0);
  }
  bg_user_free(reader);
  bg_user_free(writer);
  scratch_clear(&scratch);
}
