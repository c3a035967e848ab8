#include "tests/drivers/file/file-fixture.h"

#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const BgMode file_mode_read = {
    .perm = BG_PERM_CONSISTENT_READ,
    .shared = BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED,
};
const BgMode file_mode_write = {
    .writable = true,
    .perm = BG_PERM_CONSISTENT_READ | BG_PERM_WRITE | BG_PERM_RESIZE,
    .shared = BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED,
};
const BgMode file_mode_unused = {.perm = BG_PERM_NONE, .shared = BG_PERM_ALL};

void file_fixture_init(FileFixture *f, const char *content)
{
  *f = (FileFixture){.driver = bg_driver_find("file")};
  f->directory = g_dir_make_tmp("file-XXXXXX", NULL);
  cr_assert_not_null(f->directory);
  f->path = g_build_filename(f->directory, "image", NULL);
  if (content)
    cr_assert(g_file_set_contents(f->path, content, -1, NULL));
}

void file_fixture_clear(FileFixture *f)
{
  if (f->instance)
    f->driver->close(f->instance);
  if (f->options)
    bg_options_clear(f->driver->options, f->options);
  g_free(f->options);
  unlink(f->path);
  cr_assert_eq(rmdir(f->directory), 0);
  g_free(f->path);
  g_free(f->directory);
}

bool file_fixture_open(FileFixture *f, const char *locking, const BgMode *mode, GError **error)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  bg_dict_set(dict, "filename", f->path);
  bg_dict_set(dict, "locking", locking);
  f->options = g_malloc0(f->driver->options_size);
  cr_assert(bg_options_parse(f->driver->options, dict, f->options, NULL));
  f->instance = f->driver->open(NULL, f->options, mode, error);
  return f->instance;
}

bool file_fixture_change(FileFixture *f, const BgMode *mode, GError **error)
{
  void *pending = NULL;
  if (!f->driver->change_open(f->instance, mode, f->options, &pending, error))
    return false;
  if (f->driver->change_settle(f->instance, pending, error)) {
    f->driver->change_commit(f->instance, pending);
    return true;
  }
  f->driver->change_abort(f->instance, pending);
  return false;
}

bool file_fixture_can_change(FileFixture *f, const BgMode *mode, GError **error)
{
  return f->driver->can_change(f->instance, mode, error);
}

void file_fixture_assert_content(FileFixture *f, uint64_t offset, const char *expected, size_t length)
{
  g_autofree char *got = g_malloc(length);
  memset(got, '?', length);
  struct iovec iov = {got, length};
  cr_assert_eq(f->driver->preadv(f->instance, &iov, 1, offset), 0);
  cr_assert_eq(memcmp(got, expected, length), 0, "at %" G_GUINT64_FORMAT, offset);
}

int file_fixture_write(FileFixture *f, uint64_t offset, const char *text)
{
  struct iovec iov = {(void *)text, strlen(text)};
  return f->driver->pwritev(f->instance, &iov, 1, offset);
}

int file_fixture_flags(FileFixture *f)
{
  g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
  const char *name;
  int flags = -1;
  while ((name = g_dir_read_name(dir))) {
    g_autofree char *link = g_build_filename("/proc/self/fd", name, NULL);
    g_autofree char *target = g_file_read_link(link, NULL);
    if (!target || !g_str_has_prefix(target, f->path))
      continue;
    cr_assert_eq(flags, -1, "more than one descriptor is open");
    flags = fcntl(atoi(name), F_GETFL);
    cr_assert(fcntl(atoi(name), F_GETFD) & FD_CLOEXEC);
  }
  return flags;
}
