#include "fake-drivers.h"
#include "scratch.h"

#include "drivers/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

TestSuite(passthrough, .timeout = 60);

/* disk (raw) ─ bytes (file) ─ part (raw, a window) */
typedef struct Fixture {
  Scratch scratch;
  BgNode *bytes, *disk, *part;
} Fixture;

static void setup(Fixture *fixture)
{
  Scratch *scratch = &fixture->scratch;
  scratch_init(scratch, NULL, NULL);
  scratch_file(scratch, "disk.raw", 1 << 20, 'a');
  fixture->bytes = scratch_add(scratch, "driver=file,node-name=bytes,auto-read-only=on,filename=@/disk.raw");
  fixture->disk = scratch_add(scratch, "driver=raw,node-name=disk,auto-read-only=on,file=bytes");
  fixture->part = scratch_add(scratch, "driver=raw,node-name=part,auto-read-only=on,offset=4096,size=8192,file=bytes");
}

static void teardown(Fixture *fixture)
{
  scratch_clear(&fixture->scratch);
}

static void assert_no_fd(BgUser *user)
{
  g_autoptr(GError) error = NULL;
  cr_assert_eq(bg_user_host_fd(user, &error), -1);
  cr_assert_eq(bg_error_errno(error), ENOTSUP);
}

Test(passthrough, the_file_of_whole_nodes_is_handed_out_read_only)
{
  Fixture f;
  setup(&f);
  BgNode *nodes[] = {f.bytes, f.disk};
  for (size_t i = 0; i < G_N_ELEMENTS(nodes); i++) {
    BgUser *user = scratch_reader(nodes[i]);
    int fd = bg_user_host_fd(user, NULL);
    cr_assert_geq(fd, 0);
    char byte = 0;
    cr_assert_eq(pread(fd, &byte, 1, 7), 1);
    cr_assert_eq(byte, 'a');
    cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(fd);
    bg_user_free(user);
  }
  teardown(&f);
}

Test(passthrough, nodes_whose_requests_need_the_graph_have_none)
{
  Fixture f;
  setup(&f);
  BgNode *zeroes = scratch_add(&f.scratch, "driver=raw,node-name=zeroes,detect-zeroes=on,auto-read-only=on,file=bytes");
  BgNode *memory = scratch_add(&f.scratch, "driver=mem,node-name=memory,auto-read-only=on,disk=m");
  BgNode *nodes[] = {f.part, zeroes, memory};
  for (size_t i = 0; i < G_N_ELEMENTS(nodes); i++) {
    BgUser *user = scratch_reader(nodes[i]);
    assert_no_fd(user);
    bg_user_free(user);
  }
  teardown(&f);
}

Test(passthrough, it_is_refused_beside_a_window_that_is_open_and_known_to_one_that_comes_later)
{
  Fixture f;
  setup(&f);
  BgUser *window = scratch_reader(f.part), *user = scratch_reader(f.disk);
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_user_set_passthrough(user, true, &error));
  cr_assert_eq(bg_error_errno(error), EBUSY);
  cr_assert_not_null(strstr(error->message, "disk"));
  cr_assert_not(bg_node_beside_passthrough(f.part));

  bg_user_free(window);
  cr_assert(bg_user_set_passthrough(user, true, NULL));
  cr_assert(bg_node_beside_passthrough(f.part));
  cr_assert(bg_node_beside_passthrough(f.bytes));
  cr_assert(bg_user_set_passthrough(user, false, NULL));
  cr_assert_not(bg_node_beside_passthrough(f.part));
  bg_user_free(user);
  teardown(&f);
}

Test(passthrough, two_of_them_may_be_beside_each_other)
{
  Fixture f;
  setup(&f);
  BgUser *above = scratch_reader(f.disk), *below = scratch_reader(f.bytes);
  cr_assert_not(bg_user_set_passthrough(above, true, NULL), "the other one may still cache");
  bg_user_free(below);
  cr_assert(bg_user_set_passthrough(above, true, NULL));
  below = scratch_reader(f.bytes);
  cr_assert(bg_user_set_passthrough(below, true, NULL));
  bg_user_free(above);
  bg_user_free(below);
  teardown(&f);
}

Test(passthrough, a_format_above_minds_not)
{
  Fixture f;
  setup(&f);
  BgNode *format = scratch_add(&f.scratch, "driver=cow,node-name=format,auto-read-only=on,file=bytes");
  BgUser *reader = scratch_reader(format), *user = scratch_reader(f.bytes);
  cr_assert(bg_user_set_passthrough(user, true, NULL), "nobody can write the bytes while it is open");
  cr_assert_not(bg_node_beside_passthrough(format));
  bg_user_free(user);
  bg_user_free(reader);
  teardown(&f);
}

Test(passthrough, nothing_on_the_way_is_reopened_meanwhile)
{
  Fixture f;
  setup(&f);
  BgUser *user = scratch_reader(f.disk);
  cr_assert(bg_user_set_passthrough(user, true, NULL));
  g_autofree char *path = scratch_path(&f.scratch, "disk.raw");
  BgDict *options = bg_dict_new();
  bg_dict_set(options, "node-name", "bytes");
  bg_dict_set(options, "driver", "file");
  bg_dict_set(options, "auto-read-only", "on");
  bg_dict_set(options, "detect-zeroes", "on");
  bg_dict_set(options, "filename", path);
  BgDict *again = bg_dict_copy(options);
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_graph_reopen(f.scratch.graph, &options, 1, &error));
  cr_assert_eq(bg_error_errno(error), EBUSY);
  cr_assert(bg_user_set_passthrough(user, false, NULL));
  cr_assert(bg_graph_reopen(f.scratch.graph, &again, 1, NULL));
  bg_dict_free(options);
  bg_dict_free(again);
  bg_user_free(user);
  teardown(&f);
}

Test(passthrough, what_a_writer_may_have_written_is_flushed_and_told)
{
  fake_drivers_reset();
  Scratch scratch;
  scratch_init(&scratch, NULL, NULL);
  MemDisk *disk = mem_disk("m");
  BgNode *node = scratch_add(&scratch, "driver=mem,node-name=m,auto-read-only=on,disk=m");
  BgUser *user = scratch_writer(node);
  unsigned before = disk->flushes;
  cr_assert_eq(bg_user_flush(user), 0);
  cr_assert_eq(disk->flushes, before, "nothing was written");
  cr_assert(bg_user_set_passthrough(user, true, NULL));
  cr_assert_eq(bg_user_flush(user), 0);
  cr_assert_eq(disk->flushes, before + 1);
  bg_user_free(user);
  scratch_clear(&scratch);
}
