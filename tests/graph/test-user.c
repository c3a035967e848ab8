#include "scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

TestSuite(user, .timeout = 60);

static char *state_of(BgNode *node)
{
  BgNodeState state;
  bg_node_state(node, &state);
  char *text = g_strdup_printf("%s %s", bg_write_state_name(state.write_state), state.read_write ? "rw" : "ro");
  bg_node_state_clear(&state);
  return text;
}

#define ASSERT_STATE(node, expected)                                                                                   \
  do {                                                                                                                 \
    g_autofree char *is = state_of(node);                                                                              \
    cr_assert_str_eq(is, expected);                                                                                    \
  } while (0)

/* disk (raw) ─ disk.file (file) */
static BgNode *add_disk(Scratch *scratch)
{
  scratch_file(scratch, "disk.raw", 1 << 20, 'a');
  return scratch_add(scratch, "driver=raw,node-name=disk,auto-read-only=on,file.driver=file,file.filename=@/disk.raw");
}

Test(user, first_writer_upgrades_and_last_one_downgrades)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  BgNode *file = bg_graph_find(scratch.graph, "disk.file");
  ASSERT_STATE(disk, "available ro");
  cr_assert(!scratch_open_for_writing(&scratch, "disk.raw"));

  BgUser *writer = scratch_writer(disk);
  ASSERT_STATE(disk, "writable rw");
  ASSERT_STATE(file, "blocked rw");
  cr_assert(scratch_open_for_writing(&scratch, "disk.raw"));

  char text[] = "hello";
  struct iovec iov = {text, 5};
  cr_assert_eq(bg_user_pwritev(writer, &iov, 1, 3), 5);
  memset(text, 0, sizeof text);
  cr_assert_eq(bg_user_preadv(writer, &iov, 1, 3), 5);
  cr_assert_str_eq(text, "hello");

  bg_user_free(writer);
  cr_assert(bg_graph_settle(scratch.graph, NULL));
  ASSERT_STATE(disk, "available ro");
  cr_assert(!scratch_open_for_writing(&scratch, "disk.raw"));
  scratch_clear(&scratch);
}

Test(user, downgrade_comes_by_itself)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  bg_user_free(scratch_writer(disk));
  cr_assert(scratch_open_for_writing(&scratch, "disk.raw"), "lingers");
  for (int i = 0; i < 100 && scratch_open_for_writing(&scratch, "disk.raw"); i++)
    g_usleep(20000);
  cr_assert(!scratch_open_for_writing(&scratch, "disk.raw"));
  scratch_clear(&scratch);
}

Test(user, writers_through_two_nodes_over_the_same_bytes_are_refused)
{
  Scratch scratch;
  g_autoptr(GError) error = NULL;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  BgUser *writer = scratch_writer(disk);
  cr_assert_null(scratch_try_writer(bg_graph_find(scratch.graph, "disk.file"), &error));
  cr_assert_eq(bg_error_errno(error), EBUSY);
  cr_assert(strstr(error->message, "disk.file") && strstr(error->message, "node 'disk'"), "%s", error->message);
  bg_user_free(writer);

  /* only lingering stands in the way now, and must not */
  BgUser *below = scratch_writer(bg_graph_find(scratch.graph, "disk.file"));
  bg_user_free(below);
  scratch_clear(&scratch);
}

Test(user, read_only_by_option)
{
  Scratch scratch;
  g_autoptr(GError) error = NULL;
  scratch_init(&scratch, NULL, NULL);
  scratch_file(&scratch, "disk.raw", 4096, 'a');
  BgNode *disk =
      scratch_add(&scratch, "driver=raw,node-name=disk,read-only=on,file.driver=file,file.filename=@/disk.raw");
  ASSERT_STATE(disk, "read-only ro");
  cr_assert_null(scratch_try_writer(disk, &error));
  cr_assert_eq(bg_error_errno(error), EROFS);
  scratch_clear(&scratch);
}

Test(user, pinned_by_chmod)
{
  Scratch scratch;
  g_autoptr(GError) error = NULL;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  bg_node_pin(disk, true);
  ASSERT_STATE(disk, "read-only ro");
  cr_assert_null(scratch_try_writer(disk, &error));
  bg_node_pin(disk, false);
  ASSERT_STATE(disk, "available ro");
  bg_user_free(scratch_writer(disk));
  scratch_clear(&scratch);
}

Test(user, always_read_write_without_auto_read_only)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  scratch_file(&scratch, "disk.raw", 4096, 'a');
  BgNode *disk = scratch_add(&scratch, "driver=raw,node-name=disk,file.driver=file,file.filename=@/disk.raw");
  ASSERT_STATE(disk, "available rw");
  cr_assert(scratch_open_for_writing(&scratch, "disk.raw"));
  scratch_clear(&scratch);
}

Test(user, writes_beyond_the_end)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *grows = add_disk(&scratch);
  scratch_file(&scratch, "fixed.raw", 8192, 'b');
  BgNode *fixed = scratch_add(&scratch, "driver=raw,node-name=fixed,size=4096,auto-read-only=on,file.driver=file,"
                                        "file.filename=@/fixed.raw");
  char text[100] = "x";
  struct iovec iov = {text, sizeof text};

  BgUser *user = scratch_writer(fixed);
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 4096 - 10), 10);
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 4096), -ENOSPC);
  bg_user_free(user);

  user = scratch_writer(grows);
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 2 << 20), 100);
  cr_assert_eq(bg_node_size(grows), (2 << 20) + 100);
  bg_user_free(user);
  scratch_clear(&scratch);
}

typedef struct Worker {
  BgUser *user;
  unsigned seed;
} Worker;

static void *work(void *data)
{
  Worker *worker = data;
  char block[4096], back[4096];
  for (int i = 0; i < 200; i++) {
    uint64_t offset = (uint64_t)worker->seed * 65536 + (uint64_t)(i % 16) * sizeof block;
    struct iovec iov = {block, sizeof block};
    memset(block, (int)(worker->seed * 31 + (unsigned)i), sizeof block);
    cr_assert_eq(bg_user_pwritev(worker->user, &iov, 1, offset), (ssize_t)sizeof block);
    iov.iov_base = back;
    cr_assert_eq(bg_user_preadv(worker->user, &iov, 1, offset), (ssize_t)sizeof back);
    cr_assert_eq(memcmp(block, back, sizeof block), 0);
  }
  return NULL;
}

static void *open_and_close(void *data)
{
  for (int i = 0; i < 50; i++)
    bg_user_free(scratch_reader(data));
  return NULL;
}

Test(user, threads_that_write_while_others_come_and_go)
{
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  BgNode *disk = add_disk(&scratch);
  BgUser *user = scratch_writer(disk);
  pthread_t threads[6];
  Worker workers[4];
  for (unsigned i = 0; i < 4; i++) {
    workers[i] = (Worker){user, i};
    pthread_create(&threads[i], NULL, work, &workers[i]);
  }
  pthread_create(&threads[4], NULL, open_and_close, disk);
  pthread_create(&threads[5], NULL, open_and_close, bg_graph_find(scratch.graph, "disk.file"));
  for (int i = 0; i < 6; i++)
    pthread_join(threads[i], NULL);
  bg_user_free(user);
  scratch_clear(&scratch);
}
