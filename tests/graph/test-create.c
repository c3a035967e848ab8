#include "graph/create.h"

#include "drivers/registry.h"
#include "graph/blockdev.h"
#include "tests/graph/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static Scratch scratch;

static void set_up(void)
{
  scratch_init(&scratch, NULL, NULL);
}

static void tear_down(void)
{
  scratch_clear(&scratch);
}

TestSuite(create, .init = set_up, .fini = tear_down, .timeout = 60);

/* Creates `name` in the scratch directory; `options` in blockdev syntax, or NULL. */
static bool try_create(const char *format, const char *name, uint64_t size, const char *options, const char *backing,
                       const char *backing_format, GError **error)
{
  g_autofree char *path = scratch_path(&scratch, name);
  g_autoptr(BgDict) dict = options ? bg_blockdev_parse(options, NULL) : NULL;
  return bg_create_image(format, path, size, dict, backing, backing_format, NULL, error);
}

static void check_refused(const char *format, const char *name, uint64_t size, const char *options, const char *backing,
                          const char *backing_format, int err, const char *words)
{
  g_autoptr(GError) error = NULL;
  cr_assert(!try_create(format, name, size, options, backing, backing_format, &error));
  cr_assert_not_null(error);
  cr_assert_eq(bg_error_errno(error), err, "%d: %s", bg_error_errno(error), error->message);
  cr_assert(strstr(error->message, words), "%s", error->message);
}

static bool exists(const char *name)
{
  g_autofree char *path = scratch_path(&scratch, name);
  return g_file_test(path, G_FILE_TEST_EXISTS);
}

static int64_t size_of(const char *name)
{
  g_autofree char *path = scratch_path(&scratch, name);
  struct stat st;
  return stat(path, &st) == 0 ? st.st_size : -1;
}

Test(create, raw)
{
  g_autoptr(GError) error = NULL;
  cr_assert(try_create("raw", "disk.img", 12345, NULL, NULL, NULL, &error), "%s", error ? error->message : "");
  cr_assert_eq(size_of("disk.img"), 12345);
  cr_assert(try_create("raw", "empty.img", 0, NULL, NULL, NULL, &error));
  cr_assert_eq(size_of("empty.img"), 0);
}

Test(create, a_file_that_exists_is_left_alone)
{
  scratch_file(&scratch, "disk.img", 100, 'x');
  check_refused("raw", "disk.img", 4096, NULL, NULL, NULL, EEXIST, "disk.img");
  cr_assert_eq(size_of("disk.img"), 100);
}

Test(create, where_there_is_no_directory)
{
  check_refused("raw", "missing/disk.img", 4096, NULL, NULL, NULL, ENOENT, "missing/disk.img");
}

Test(create, what_is_no_format)
{
  check_refused("nonsense\n", "disk", 4096, NULL, NULL, NULL, EINVAL, "nonsense\\n");
  check_refused("file", "disk", 4096, NULL, NULL, NULL, EINVAL, "'file'");
  check_refused("cow", "disk", 4096, NULL, NULL, NULL, ENOTSUP, "cow");
  cr_assert(!exists("disk"));
}

Test(create, options_that_the_format_lacks)
{
  check_refused("raw", "disk", 4096, "speed=high", NULL, NULL, EINVAL, "'speed'");
  cr_assert(!exists("disk"));
}

Test(create, sizes_that_cannot_be)
{
  check_refused("raw", "disk", UINT64_MAX, NULL, NULL, NULL, EINVAL, "size");
  check_refused("raw", "disk", (uint64_t)INT64_MAX + 1, NULL, NULL, NULL, EFBIG, "size");
  cr_assert(!exists("disk"));
}

Test(create, a_failure_leaves_no_file)
{
  /* no file system holds that much */
  g_autoptr(GError) error = NULL;
  cr_assert(!try_create("raw", "disk", INT64_MAX, NULL, NULL, NULL, &error));
  cr_assert(!exists("disk"));
}

Test(create, raw_images_have_no_backing_file)
{
  scratch_file(&scratch, "base.img", 4096, 'x');
  check_refused("raw", "disk", 4096, NULL, "base.img", "raw", ENOTSUP, "backing");
  cr_assert(!exists("disk"));
}

/* ── with qcow2, where it was built in ── */

static bool without_qcow2(void)
{
  return !bg_driver_find("qcow2");
}

Test(create, qcow2)
{
  g_autoptr(GError) error = NULL;
  if (without_qcow2())
    return;
  cr_assert(try_create("qcow2", "disk.qcow2", 1 << 30, NULL, NULL, NULL, &error), "%s", error ? error->message : "");
  BgNode *disk = scratch_add(&scratch, "node-name=disk,driver=qcow2,file.driver=file,file.filename=@/disk.qcow2");
  cr_assert_eq(bg_node_size(disk), 1 << 30);
}

Test(create, qcow2_over_a_backing_file)
{
  g_autoptr(GError) error = NULL;
  if (without_qcow2())
    return;
  scratch_file(&scratch, "base.img", 1 << 20, 'x');
  cr_assert(try_create("qcow2", "disk.qcow2", UINT64_MAX, NULL, "base.img", "raw", &error), "%s",
            error ? error->message : "");
  BgNode *disk = scratch_add(&scratch, "node-name=disk,driver=qcow2,file.driver=file,file.filename=@/disk.qcow2");
  cr_assert_eq(bg_node_size(disk), 1 << 20);
  cr_assert_not_null(bg_graph_find(scratch.graph, "disk.backing"));
  BgUser *reader = scratch_reader(disk);
  char byte = 0;
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_preadv(reader, &iov, 1, 12345), 1);
  cr_assert_eq(byte, 'x');
  bg_user_free(reader);
}

Test(create, backing_files_that_cannot_be)
{
  if (without_qcow2())
    return;
  scratch_file(&scratch, "base.img", 4096, 'x');
  check_refused("qcow2", "disk", 4096, NULL, "missing.img", "raw", ENOENT, "missing.img");
  check_refused("qcow2", "disk", 4096, NULL, "base.img", NULL, EINVAL, "format of the backing");
  check_refused("qcow2", "disk", 4096, NULL, "base.img", "nonsense", EINVAL, "nonsense");
  check_refused("qcow2", "disk", 4096, NULL, "nbd:host:1", "raw", EPROTONOSUPPORT, "protocol");
  cr_assert(!exists("disk"));
}
