/* Block devices, played by a loop device; skipped without the right to make one. */
#include "drivers/error.h"
#include "tests/drivers/file/file-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

TestSuite(device, .timeout = 60);

#define SIZE (1 << 20)

typedef struct Device {
  FileFixture f; /* its path becomes the device's */
  char *backing;
  int fd;
} Device;

static int attach(const char *backing, bool read_only, char **path)
{
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
  if (control >= 0)
    close(control);
  if (number < 0)
    return -1;
  *path = g_strdup_printf("/dev/loop%d", number);
  int fd = open(*path, O_RDWR | O_CLOEXEC);
  int file = open(backing, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  struct loop_config config = {.fd = (uint32_t)file};
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0);
  bool attached = fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0;
  close(file);
  if (attached)
    return fd;
  if (fd >= 0)
    close(fd);
  g_clear_pointer(path, g_free);
  return -1;
}

static void device_clear(Device *d)
{
  if (d->f.instance)
    d->f.driver->close(d->f.instance);
  d->f.instance = NULL;
  if (d->fd >= 0) {
    close(d->fd); /* AUTOCLEAR detaches it */
    g_free(d->f.path);
    d->f.path = g_steal_pointer(&d->backing);
  }
  file_fixture_clear(&d->f);
}

static void device_init(Device *d, bool read_only)
{
  *d = (Device){.fd = -1};
  file_fixture_init(&d->f, "");
  g_autofree char *content = g_strnfill(SIZE, 'a');
  cr_assert(g_file_set_contents(d->f.path, content, SIZE, NULL));
  char *path;
  d->fd = attach(d->f.path, read_only, &path);
  if (d->fd < 0) {
    device_clear(d);
    cr_skip("no right to make loop devices");
  }
  d->backing = d->f.path;
  d->f.path = path;
}

static void assert_range(Device *d, uint64_t offset, size_t length, char byte)
{
  g_autofree char *expected = g_malloc(length);
  memset(expected, byte, length);
  file_fixture_assert_content(&d->f, offset, expected, length);
}

Test(device, reads_and_writes)
{
  Device d;
  device_init(&d, false);
  g_autoptr(GError) error = NULL;
  cr_assert(file_fixture_open(&d.f, "auto", &file_mode_read, &error), "%s", error ? error->message : "");
  cr_assert_eq(d.f.driver->size(d.f.instance), SIZE);
  cr_assert_eq(d.f.driver->allocated(d.f.instance), SIZE);
  BgLimits limits;
  d.f.driver->limits(d.f.instance, &limits);
  cr_assert_not(limits.grows);
  cr_assert_eq(limits.granularity, 512);
  cr_assert_eq(limits.request_alignment, 1);
  BgExtent extent;
  cr_assert_eq(d.f.driver->map(d.f.instance, 0, SIZE, &extent), 0);
  cr_assert_eq(extent.kind, BG_EXTENT_DATA);
  cr_assert_eq(extent.length, SIZE);

  cr_assert(file_fixture_can_change(&d.f, &file_mode_write, NULL));
  cr_assert(file_fixture_change(&d.f, &file_mode_write, NULL));
  cr_assert_eq(file_fixture_write(&d.f, 1001, "bcd"), 0);
  file_fixture_assert_content(&d.f, 1000, "abcda", 5);
  cr_assert_eq(d.f.driver->flush(d.f.instance), 0);
  cr_assert_eq(d.f.driver->resize(d.f.instance, SIZE), 0);
  cr_assert_eq(d.f.driver->resize(d.f.instance, SIZE + 512), -EFBIG);
  cr_assert_eq(d.f.driver->resize(d.f.instance, SIZE - 512), -EFBIG);
  device_clear(&d);
}

Test(device, zero_and_discard)
{
  Device d;
  device_init(&d, false);
  cr_assert(file_fixture_open(&d.f, "auto", &file_mode_read, NULL));
  cr_assert(file_fixture_change(&d.f, &file_mode_write, NULL));
  cr_assert_eq(d.f.driver->zero(d.f.instance, 4096, 8192, BG_ZERO_NONE), 0);
  cr_assert_eq(d.f.driver->zero(d.f.instance, 65536, 8192, BG_ZERO_MAY_UNMAP), 0);
  assert_range(&d, 0, 4096, 'a');
  assert_range(&d, 4096, 8192, 0);
  assert_range(&d, 12288, 65536 - 12288, 'a');
  assert_range(&d, 65536, 8192, 0);
  int rc = d.f.driver->discard(d.f.instance, 131072, 4096);
  cr_assert(rc == 0 || rc == -ENOTSUP);
  assert_range(&d, 131072 - 4096, 4096, 'a');
  assert_range(&d, 131072 + 4096, 4096, 'a');
  cr_assert_eq(d.f.driver->size(d.f.instance), SIZE);
  device_clear(&d);
}

Test(device, direct)
{
  Device d;
  device_init(&d, false);
  BgMode mode = file_mode_read;
  mode.direct = true;
  cr_assert(file_fixture_open(&d.f, "auto", &mode, NULL));
  BgLimits limits;
  d.f.driver->limits(d.f.instance, &limits);
  cr_assert(limits.request_alignment >= 512 && limits.request_alignment <= 4096);
  char *memory = aligned_alloc(4096, 8192);
  struct iovec iov = {memory, 8192};
  cr_assert_eq(d.f.driver->preadv(d.f.instance, &iov, 1, SIZE - 4096), 0);
  for (int i = 0; i < 8192; i++)
    cr_assert_eq(memory[i], i < 4096 ? 'a' : 0);
  free(memory);
  device_clear(&d);
}

Test(device, read_only_device)
{
  Device d;
  device_init(&d, true);
  cr_assert(file_fixture_open(&d.f, "auto", &file_mode_read, NULL));
  g_autoptr(GError) error = NULL;
  cr_assert_not(file_fixture_can_change(&d.f, &file_mode_write, &error));
  cr_assert_eq(bg_error_errno(error), EROFS);
  g_autofree char *expected = g_strdup_printf("'%s' is a read-only device", d.f.path);
  cr_assert_str_eq(error->message, expected);
  device_clear(&d);
}
