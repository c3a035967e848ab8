#include "drivers/file/space.h"
#include "tests/drivers/file/file-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(space, .timeout = 60);

#define BLOCK 65536

static void open_filled(FileFixture *f, size_t length)
{
  file_fixture_init(f, "");
  g_autofree char *content = g_strnfill(length, 'a');
  cr_assert(g_file_set_contents(f->path, content, (gssize)length, NULL));
  cr_assert(file_fixture_open(f, "auto", &file_mode_read, NULL));
  cr_assert(file_fixture_change(f, &file_mode_write, NULL));
}

static void assert_range(FileFixture *f, uint64_t offset, size_t length, char byte)
{
  g_autofree char *expected = g_malloc(length);
  memset(expected, byte, length);
  file_fixture_assert_content(f, offset, expected, length);
}

static void assert_zero(BgZeroFlags flags)
{
  FileFixture f;
  open_filled(&f, 4 * BLOCK);
  int rc = f.driver->zero(f.instance, BLOCK - 10, 2 * BLOCK + 20, flags);
  if (rc == -ENOTSUP) { /* a file system without any of the ways: then nothing may have changed */
    assert_range(&f, 0, 4 * BLOCK, 'a');
    file_fixture_clear(&f);
    return;
  }
  cr_assert_eq(rc, 0);
  assert_range(&f, 0, BLOCK - 10, 'a');
  assert_range(&f, BLOCK - 10, 2 * BLOCK + 20, 0);
  assert_range(&f, 3 * BLOCK + 10, BLOCK - 10, 'a');
  cr_assert_eq(f.driver->size(f.instance), 4 * BLOCK);

  cr_assert_eq(f.driver->zero(f.instance, 4 * BLOCK - 5, 10, flags), 0);
  cr_assert_eq(f.driver->size(f.instance), 4 * BLOCK + 5);
  assert_range(&f, 4 * BLOCK - 5, 10, 0);
  cr_assert_eq(f.driver->zero(f.instance, 8 * BLOCK, BLOCK, flags), 0);
  cr_assert_eq(f.driver->size(f.instance), 9 * BLOCK);
  cr_assert_eq(f.driver->zero(f.instance, 0, 0, flags), 0);
  assert_range(&f, 0, 10, 'a');
  file_fixture_clear(&f);
}

Test(space, zero)
{
  assert_zero(BG_ZERO_NONE);
}

Test(space, zero_may_unmap)
{
  assert_zero(BG_ZERO_MAY_UNMAP);
}

Test(space, zero_without_unmap_keeps_the_space)
{
  FileFixture f;
  open_filled(&f, 16 * BLOCK);
  int64_t before = f.driver->allocated(f.instance);
  int rc = f.driver->zero(f.instance, 0, 16 * BLOCK, BG_ZERO_NONE);
  cr_assert(rc == 0 || rc == -ENOTSUP);
  cr_assert_geq(f.driver->allocated(f.instance), before);
  file_fixture_clear(&f);
}

/* tmpfs knows no ZERO_RANGE. */
Test(space, zero_in_memory)
{
  int fd = memfd_create("space", MFD_CLOEXEC);
  g_autofree char *content = g_strnfill(4 * BLOCK, 'a');
  cr_assert_eq(write(fd, content, 4 * BLOCK), 4 * BLOCK);
  BgFileSpace space;
  bg_file_space_init(&space);
  cr_assert_eq(bg_file_zero(&space, fd, false, 1, 4 * BLOCK, BG_ZERO_NONE), 0);
  cr_assert_eq(bg_file_zero(&space, fd, false, 1, 4 * BLOCK, BG_ZERO_NONE), 0);
  g_autofree char *got = g_malloc(4 * BLOCK + 1);
  cr_assert_eq(pread(fd, got, 4 * BLOCK + 1, 0), 4 * BLOCK + 1);
  cr_assert_eq(got[0], 'a');
  for (int i = 1; i <= 4 * BLOCK; i++)
    cr_assert_eq(got[i], 0);
  struct stat st;
  cr_assert_eq(fstat(fd, &st), 0);
  cr_assert_geq(st.st_blocks * 512, 4 * BLOCK);
  bg_file_space_clear(&space);
  close(fd);
}

/* A pipe has no space to speak of: every way is refused, and not asked a second time. */
Test(space, what_cannot_be_done_is_not_supported)
{
  int fds[2];
  cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
  BgFileSpace space;
  bg_file_space_init(&space);
  cr_assert_eq(bg_file_discard(&space, fds[1], true, 0, 512), -ENOTSUP);
  unsigned once = space.unsupported;
  cr_assert_neq(once, 0);
  cr_assert_eq(bg_file_discard(&space, -1, true, 0, 512), -ENOTSUP);
  bg_file_space_clear(&space);
  close(fds[0]);
  close(fds[1]);
}

Test(space, discard_gives_space_back)
{
  FileFixture f;
  open_filled(&f, 16 * BLOCK);
  int64_t before = f.driver->allocated(f.instance);
  int rc = f.driver->discard(f.instance, 4 * BLOCK, 4 * BLOCK);
  if (rc == 0) {
    cr_assert_lt(f.driver->allocated(f.instance), before);
    assert_range(&f, 0, 4 * BLOCK, 'a');
    assert_range(&f, 8 * BLOCK, 8 * BLOCK, 'a');
  } else
    cr_assert_eq(rc, -ENOTSUP);
  cr_assert_eq(f.driver->size(f.instance), 16 * BLOCK);
  file_fixture_clear(&f);
}

Test(space, discard_needs_writing)
{
  FileFixture f;
  open_filled(&f, BLOCK);
  cr_assert(file_fixture_change(&f, &file_mode_read, NULL));
  cr_assert_eq(f.driver->discard(f.instance, 0, BLOCK), -EBADF);
  cr_assert_eq(f.driver->zero(f.instance, 0, BLOCK, BG_ZERO_NONE), -EBADF);
  assert_range(&f, 0, BLOCK, 'a');
  file_fixture_clear(&f);
}

static void assert_extent(FileFixture *f, uint64_t offset, uint64_t length, BgExtentKind kind, uint64_t expected)
{
  BgExtent extent;
  cr_assert_eq(f->driver->map(f->instance, offset, length, &extent), 0);
  cr_assert_eq(extent.kind, kind, "at %" G_GUINT64_FORMAT, offset);
  cr_assert_eq(extent.length, expected, "at %" G_GUINT64_FORMAT, offset);
  cr_assert_null(extent.child);
  if (kind == BG_EXTENT_DATA)
    cr_assert_eq(extent.offset, offset);
}

Test(space, map_shows_holes)
{
  FileFixture f;
  file_fixture_init(&f, "");
  cr_assert_eq(truncate(f.path, 16 * BLOCK), 0);
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  BgExtent extent;
  cr_assert_eq(f.driver->map(f.instance, 0, BLOCK, &extent), 0);
  if (extent.kind == BG_EXTENT_DATA) {
    file_fixture_clear(&f);
    cr_skip("the file system of TMPDIR does not show holes");
  }
  g_autofree char *block = g_strnfill(BLOCK, 'a');
  cr_assert_eq(file_fixture_write(&f, 4 * BLOCK, block), 0);
  assert_extent(&f, 0, 16 * BLOCK, BG_EXTENT_ZERO, 4 * BLOCK);
  assert_extent(&f, BLOCK, BLOCK, BG_EXTENT_ZERO, BLOCK);
  assert_extent(&f, 4 * BLOCK, 12 * BLOCK, BG_EXTENT_DATA, BLOCK);
  assert_extent(&f, 4 * BLOCK + 7, 10, BG_EXTENT_DATA, 10);
  assert_extent(&f, 5 * BLOCK, 11 * BLOCK, BG_EXTENT_ZERO, 11 * BLOCK);

  /* The file is made shorter by somebody else, who then asks where it used to be. */
  cr_assert_eq(truncate(f.path, 5 * BLOCK), 0);
  assert_extent(&f, 8 * BLOCK, BLOCK, BG_EXTENT_ZERO, BLOCK);
  assert_extent(&f, 4 * BLOCK, 4 * BLOCK, BG_EXTENT_DATA, BLOCK);
  file_fixture_clear(&f);
}

/* Where data was found once is remembered; holes that are made show all the same. */
Test(space, maps_what_is_there_now)
{
  FileFixture f;
  open_filled(&f, 32 * BLOCK);
  assert_extent(&f, 0, 32 * BLOCK, BG_EXTENT_DATA, 32 * BLOCK);
  assert_extent(&f, BLOCK, 32 * BLOCK - BLOCK, BG_EXTENT_DATA, 31 * BLOCK);
  if (f.driver->zero(f.instance, 8 * BLOCK, 8 * BLOCK, BG_ZERO_MAY_UNMAP) == 0) {
    assert_extent(&f, BLOCK, 32 * BLOCK - BLOCK, BG_EXTENT_DATA, 7 * BLOCK);
    assert_extent(&f, 8 * BLOCK, 32 * BLOCK - 8 * BLOCK, BG_EXTENT_ZERO, 8 * BLOCK);
    assert_extent(&f, 20 * BLOCK, 32 * BLOCK - 20 * BLOCK, BG_EXTENT_DATA, 12 * BLOCK);
    cr_assert_eq(f.driver->discard(f.instance, 24 * BLOCK, 4 * BLOCK), 0);
    assert_extent(&f, 20 * BLOCK, 32 * BLOCK - 20 * BLOCK, BG_EXTENT_DATA, 4 * BLOCK);
  }
  cr_assert_eq(f.driver->resize(f.instance, 2 * BLOCK), 0);
  assert_extent(&f, BLOCK, 32 * BLOCK - BLOCK, BG_EXTENT_DATA, BLOCK);
  file_fixture_clear(&f);
}
