#include "drivers/error.h"
#include "tests/drivers/file/file-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(file, .timeout = 60);

static void assert_refused(FileFixture *f, int err, const char *reason)
{
  g_autoptr(GError) error = NULL;
  cr_assert_not(file_fixture_open(f, "auto", &file_mode_read, &error));
  cr_assert_eq(bg_error_errno(error), err, "%s", error->message);
  g_autofree char *expected = g_strdup_printf("cannot open '%s': %s", f->path, reason);
  cr_assert_str_eq(error->message, expected);
  cr_assert_eq(file_fixture_flags(f), -1);
}

Test(file, missing)
{
  FileFixture f;
  file_fixture_init(&f, NULL);
  assert_refused(&f, ENOENT, "No such file or directory");
  file_fixture_clear(&f);
}

Test(file, other_kinds_are_refused_without_waiting)
{
  FileFixture f;
  file_fixture_init(&f, NULL);
  cr_assert_eq(mkfifo(f.path, 0600), 0);
  assert_refused(&f, EINVAL, "it is a FIFO, not a regular file or block device");
  file_fixture_clear(&f);

  file_fixture_init(&f, NULL);
  struct sockaddr_un address = {AF_UNIX};
  g_strlcpy(address.sun_path, f.path, sizeof address.sun_path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_refused(&f, EINVAL, "it is a socket, not a regular file or block device");
  close(fd);
  file_fixture_clear(&f);

  file_fixture_init(&f, NULL);
  cr_assert_eq(symlink("/dev/null", f.path), 0);
  assert_refused(&f, EINVAL, "it is a character device, not a regular file or block device");
  file_fixture_clear(&f);

  file_fixture_init(&f, NULL);
  cr_assert_eq(symlink("/proc", f.path), 0);
  assert_refused(&f, EISDIR, "it is a directory, not a regular file or block device");
  file_fixture_clear(&f);
}

Test(file, reads_and_facts)
{
  FileFixture f;
  file_fixture_init(&f, "0123456789");
  cr_assert_eq(chmod(f.path, 0640), 0);
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  cr_assert_eq(file_fixture_flags(&f) & O_ACCMODE, O_RDONLY);
  cr_assert_eq(f.driver->size(f.instance), 10);
  cr_assert_str_eq(f.driver->filename(f.instance), f.path);
  file_fixture_assert_content(&f, 2, "234", 3);
  file_fixture_assert_content(&f, 8, "89\0\0", 4);
  file_fixture_assert_content(&f, 100, "\0\0", 2);
  struct stat st;
  cr_assert_eq(f.driver->host_stat(f.instance, &st), 0);
  cr_assert_eq(st.st_mode & 07777, 0640);
  cr_assert_geq(f.driver->allocated(f.instance), 0);
  BgLimits limits;
  f.driver->limits(f.instance, &limits);
  cr_assert_eq(limits.request_alignment, 1);
  cr_assert_eq(limits.granularity, 1);
  cr_assert(limits.grows);
  cr_assert_eq(file_fixture_write(&f, 0, "x"), -EBADF);
  file_fixture_clear(&f);
}

Test(file, writes_grow)
{
  FileFixture f;
  file_fixture_init(&f, "0123456789");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  cr_assert_eq(file_fixture_flags(&f) & O_ACCMODE, O_RDWR);
  cr_assert_eq(file_fixture_write(&f, 8, "abcd"), 0);
  cr_assert_eq(f.driver->size(f.instance), 12);
  file_fixture_assert_content(&f, 6, "67abcd", 6);
  cr_assert_eq(f.driver->flush(f.instance), 0);
  cr_assert_eq(f.driver->resize(f.instance, 3), 0);
  file_fixture_assert_content(&f, 0, "012\0\0", 5);
  cr_assert_eq(f.driver->resize(f.instance, (uint64_t)INT64_MAX + 1), -EFBIG);
  file_fixture_clear(&f);
}

/* The instance's descriptor number. */
static int descriptor_of(FileFixture *f)
{
  for (int fd = 0; fd < 1024; fd++) {
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *target = g_file_read_link(link, NULL);
    if (g_strcmp0(target, f->path) == 0)
      return fd;
  }
  return -1;
}

Test(file, a_failed_flush_is_remembered)
{
  FileFixture f;
  file_fixture_init(&f, "0123456789");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  cr_assert_eq(f.driver->flush(f.instance), 0);

  /* What cannot be synchronised takes the file's place for one flush. */
  int fd = descriptor_of(&f), saved = dup(fd), pipe_fds[2];
  cr_assert_geq(fd, 0);
  cr_assert_eq(pipe(pipe_fds), 0);
  cr_assert_eq(dup2(pipe_fds[1], fd), fd);
  cr_assert_eq(f.driver->flush(f.instance), -EINVAL);
  cr_assert_eq(dup3(saved, fd, O_CLOEXEC), fd);
  close(saved);

  cr_assert_eq(f.driver->flush(f.instance), -EINVAL);
  BgMode mode = file_mode_write;
  mode.shared = BG_PERM_ALL;
  cr_assert(file_fixture_change(&f, &mode, NULL));
  cr_assert_eq(f.driver->flush(f.instance), -EINVAL, "other permissions are no new file");
  cr_assert(file_fixture_change(&f, &file_mode_read, NULL));
  cr_assert_eq(f.driver->flush(f.instance), 0);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  file_fixture_clear(&f);
}

Test(file, direct)
{
  FileFixture f;
  g_autofree char *content = g_strnfill(10000, 'a');
  file_fixture_init(&f, content);
  BgMode mode = file_mode_read;
  mode.direct = true;
  g_autoptr(GError) error = NULL;
  if (!file_fixture_open(&f, "auto", &mode, &error)) {
    cr_assert_eq(bg_error_errno(error), EINVAL);
    file_fixture_clear(&f);
    cr_skip("the file system of TMPDIR does not support O_DIRECT");
  }
  cr_assert(file_fixture_flags(&f) & O_DIRECT);
  BgLimits limits;
  f.driver->limits(f.instance, &limits);
  cr_assert(limits.request_alignment == 512 || limits.request_alignment == 4096);

  /* The last block is cut by the end of the file. */
  size_t length = 3 * 4096;
  char *memory = aligned_alloc(4096, length);
  memset(memory, '?', length);
  struct iovec iov[] = {{memory, 8192}, {memory + 8192, 4096}};
  cr_assert_eq(f.driver->preadv(f.instance, iov, 2, 0), 0);
  cr_assert_eq(memcmp(memory, content, 10000), 0);
  for (size_t i = 10000; i < length; i++)
    cr_assert_eq(memory[i], 0);

  mode = file_mode_write;
  mode.direct = true;
  cr_assert(file_fixture_change(&f, &mode, NULL));
  cr_assert(file_fixture_flags(&f) & O_DIRECT);
  memset(memory, 'b', 4096);
  cr_assert_eq(f.driver->pwritev(f.instance, iov, 1, 0), 0);

  /* Back to the page cache: alignment no longer matters. */
  cr_assert(file_fixture_change(&f, &file_mode_read, NULL));
  cr_assert_not(file_fixture_flags(&f) & O_DIRECT);
  f.driver->limits(f.instance, &limits);
  cr_assert_eq(limits.request_alignment, 1);
  file_fixture_assert_content(&f, 4090, "bbbbbb", 6);
  free(memory);
  file_fixture_clear(&f);
}

typedef struct Facts {
  BgInfo info;
  GHashTable *values;
} Facts;

static void add_fact(BgInfo *info, const char *name, GVariant *value)
{
  g_hash_table_insert(((Facts *)info)->values, (char *)name, g_variant_ref_sink(value));
}

Test(file, info)
{
  FileFixture f;
  file_fixture_init(&f, "");
  cr_assert(file_fixture_open(&f, "off", &file_mode_read, NULL));
  Facts facts = {{add_fact}, g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_variant_unref)};
  f.driver->info(f.instance, &facts.info);
  cr_assert_not(g_variant_get_boolean(g_hash_table_lookup(facts.values, "locking")));
  cr_assert_not(g_variant_get_boolean(g_hash_table_lookup(facts.values, "direct")));
  cr_assert_not(g_variant_get_boolean(g_hash_table_lookup(facts.values, "block-device")));
  g_hash_table_unref(facts.values);
  file_fixture_clear(&f);
}
