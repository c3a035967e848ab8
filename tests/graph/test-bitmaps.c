/* Every way to change a node marks its dirty bitmaps, and nothing else does. */
#include "scratch.h"

#include "graph/create.h"
#include "graph/node.h"
#include "graph/query.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

TestSuite(bitmaps, .timeout = 60);

enum { CLUSTER = 64 * 1024, SIZE = 16 * CLUSTER, STEP = 512 };

typedef struct Fixture {
  Scratch scratch;
  BgNode *disk, *base, *storage; /* disk (qcow2) over base (raw), in storage (file) */
  BgUser *user;
} Fixture;

static BgBitmap *add_bitmap(BgNode *node, const char *name, bool recording)
{
  BgBitmapSpec spec = {name, 9, (uint64_t)bg_node_size(node), recording, false, false};
  BgBitmap *bitmap = bg_bitmaps_add(node->host.bitmaps, &spec, NULL);
  cr_assert_not_null(bitmap);
  return bitmap;
}

static void set_up(Fixture *f, const char *options)
{
  g_autoptr(GError) error = NULL;
  scratch_init(&f->scratch, NULL, NULL);
  scratch_file(&f->scratch, "base.raw", SIZE, 'b');
  g_autofree char *path = scratch_path(&f->scratch, "disk.qcow2");
  cr_assert(bg_create_image("qcow2", path, SIZE, NULL, "base.raw", "raw", NULL, &error), "%s",
            error ? error->message : "");
  g_autofree char *all = g_strdup_printf("driver=qcow2,node-name=disk,auto-read-only=on,discard=unmap,"
                                         "file.driver=file,file.node-name=storage,file.filename=@/disk.qcow2,"
                                         "backing.driver=raw,backing.node-name=base,backing.file.driver=file,"
                                         "backing.file.filename=@/base.raw%s",
                                         options);
  f->disk = scratch_add(&f->scratch, all);
  f->base = bg_graph_find(f->scratch.graph, "base");
  f->storage = bg_graph_find(f->scratch.graph, "storage");
  add_bitmap(f->disk, "on", true);
  add_bitmap(f->disk, "off", false);
  f->user = scratch_writer(f->disk);
}

static void tear_down(Fixture *f)
{
  bg_user_free(f->user);
  scratch_clear(&f->scratch);
}

/* What is dirty since the last time, "OFFSET+LENGTH …"; it is clean afterwards. */
static char *take(BgNode *node, const char *name)
{
  BgBitmap *bitmap = bg_bitmaps_find(node->host.bitmaps, name);
  GString *text = g_string_new(NULL);
  uint64_t start, length;
  for (uint64_t at = 0; bg_bitmap_next(bitmap, at, &start, &length); at = start + length)
    g_string_append_printf(text, "%s%" PRIu64 "+%" PRIu64, text->len ? " " : "", start, length);
  g_autofree uint8_t *clean = g_malloc0(bg_bitmap_bytes(bitmap) + 1);
  bg_bitmap_import(bitmap, 0, clean, bg_bitmap_bytes(bitmap));
  return g_string_free(text, FALSE);
}

static void assert_marked(BgNode *node, const char *expected)
{
  g_autofree char *dirty = take(node, "on");
  cr_assert_str_eq(dirty, expected);
}

static void write_at(BgUser *user, uint64_t offset, size_t length, int byte)
{
  g_autofree char *data = g_malloc(length);
  memset(data, byte, length);
  struct iovec iov = {data, length};
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, offset), (ssize_t)length);
}

Test(bitmaps, writes)
{
  Fixture f;
  set_up(&f, "");
  write_at(f.user, 100, 1000, 'x');
  assert_marked(f.disk, "0+1536"); /* new space; what is filled around it did not change */
  write_at(f.user, 1024, 512, 'y');
  assert_marked(f.disk, "1024+512"); /* in place */
  write_at(f.user, CLUSTER - 1, 2 * CLUSTER, 'z');
  assert_marked(f.disk, "65024+131584");
  write_at(f.user, SIZE - 1, 1, 'z');
  assert_marked(f.disk, "1048064+512");
  g_autofree char *off = take(f.disk, "off");
  cr_assert_str_eq(off, "");
  tear_down(&f);
}

Test(bitmaps, compressed_writes)
{
  Fixture f;
  set_up(&f, "");
  BgNode *top = scratch_add(&f.scratch, "driver=compress,node-name=top,auto-read-only=on,file=disk");
  bg_user_free(f.user);
  f.user = scratch_writer(top);
  write_at(f.user, 3 * CLUSTER, CLUSTER, 'x');
  assert_marked(f.disk, "196608+65536");
  write_at(f.user, 2 * CLUSTER - 100, 200, 'y'); /* what is read around it did not change */
  assert_marked(f.disk, "130560+1024");
  assert_marked(f.disk, "");
  g_autofree char *off = take(f.disk, "off");
  cr_assert_str_eq(off, "");
  tear_down(&f);
}

Test(bitmaps, zeros_and_discards)
{
  Fixture f;
  set_up(&f, "");
  cr_assert_eq(bg_user_zero(f.user, CLUSTER - 512, 2 * CLUSTER, BG_USER_ZERO_MAY_UNMAP), 0);
  assert_marked(f.disk, "65024+131072");
  cr_assert_eq(bg_user_zero(f.user, 10, 20, BG_USER_ZERO_NONE), 0);
  assert_marked(f.disk, "0+512");
  cr_assert_eq(bg_user_zero(f.user, SIZE - CLUSTER, 10 * CLUSTER, BG_USER_ZERO_NONE), 0);
  assert_marked(f.disk, "983040+65536");
  write_at(f.user, 4 * CLUSTER, 3 * CLUSTER, 'a');
  assert_marked(f.disk, "262144+196608");
  cr_assert_eq(bg_user_discard(f.user, 5 * CLUSTER, CLUSTER), 0);
  assert_marked(f.disk, "327680+65536");
  tear_down(&f);
}

Test(bitmaps, zeros_that_are_detected)
{
  Fixture f;
  set_up(&f, ",detect-zeroes=unmap");
  write_at(f.user, 3 * CLUSTER, CLUSTER, 0);
  assert_marked(f.disk, "196608+65536");
  tear_down(&f);
}

Test(bitmaps, what_changes_nothing_marks_nothing)
{
  Fixture f;
  set_up(&f, "");
  char bytes[4096];
  struct iovec iov = {bytes, sizeof bytes};
  cr_assert_eq(bg_user_preadv(f.user, &iov, 1, 0), (ssize_t)sizeof bytes);
  cr_assert_eq(bg_user_flush(f.user), 0);
  cr_assert_eq(bg_user_pwritev(f.user, &iov, 1, SIZE), -ENOSPC);
  cr_assert_eq(bg_user_write_back(f.user), 0);
  BgStatus status;
  cr_assert_eq(bg_user_status(f.user, 0, &status), 0);
  assert_marked(f.disk, "");
  tear_down(&f);
}

Test(bitmaps, sizes)
{
  Fixture f;
  set_up(&f, "");
  cr_assert_eq(bg_user_resize(f.user, SIZE + 1000, NULL), 0);
  assert_marked(f.disk, "1048576+1000");
  cr_assert_eq(bg_bitmap_size(bg_bitmaps_find(f.disk->host.bitmaps, "off")), SIZE + 1000);
  write_at(f.user, SIZE + 999, 1, 'a');
  assert_marked(f.disk, "1049088+488");
  cr_assert_eq(bg_user_resize(f.user, CLUSTER, NULL), 0);
  assert_marked(f.disk, "");
  cr_assert_eq(bg_bitmap_size(bg_bitmaps_find(f.disk->host.bitmaps, "on")), CLUSTER);
  tear_down(&f);
}

/* Each node has bitmaps of its own: what an overlay writes changes its own storage, not its backing disk. */
Test(bitmaps, nodes_below)
{
  Fixture f;
  set_up(&f, "");
  add_bitmap(f.base, "on", true);
  add_bitmap(f.storage, "on", true);
  write_at(f.user, 0, 512, 'a');
  assert_marked(f.disk, "0+512");
  assert_marked(f.base, "");
  g_autofree char *storage = take(f.storage, "on");
  cr_assert_str_neq(storage, "");
  cr_assert_eq(bg_bitmap_size(bg_bitmaps_find(f.storage->host.bitmaps, "on")), (uint64_t)bg_node_size(f.storage),
               "it grows as the file does");
  tear_down(&f);
}

/* What a writer passes through a node without metadata, and the growth of a file. */
Test(bitmaps, files_that_grow)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  scratch_file(&scratch, "disk.raw", 4096, 'a');
  BgNode *disk = scratch_add(&scratch, "driver=raw,node-name=disk,auto-read-only=on,discard=unmap,file.driver=file,"
                                       "file.node-name=storage,file.filename=@/disk.raw");
  BgNode *storage = bg_graph_find(scratch.graph, "storage");
  add_bitmap(disk, "on", true);
  add_bitmap(storage, "on", true);
  BgUser *user = scratch_writer(disk);
  cr_assert_eq(bg_user_host_fd(user, NULL), -1, "what goes past the graph would not be marked");
  write_at(user, 100, 100, 'b');
  assert_marked(disk, "0+512");
  assert_marked(storage, "0+512");
  write_at(user, 8192, 100, 'b');
  assert_marked(disk, "4096+4196"); /* what lies between is new, too */
  assert_marked(storage, "4096+4196");
  cr_assert_eq(bg_user_zero(user, 0, 4096, BG_USER_ZERO_MAY_UNMAP), 0);
  assert_marked(disk, "0+4096");
  assert_marked(storage, "0+4096");
  bg_user_free(user);
  scratch_clear(&scratch);
}

Test(bitmaps, are_listed)
{
  Fixture f;
  set_up(&f, "");
  write_at(f.user, 0, 512, 'a');
  g_autofree char *json = bg_query_json(f.scratch.graph);
  cr_assert_not_null(strstr(json, "\"dirty-bitmaps\""), "%s", json);
  cr_assert_not_null(strstr(json, "\"count\" : 512"), "%s", json);
  tear_down(&f);
}
