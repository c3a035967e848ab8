#include "drivers/error.h"
#include "tests/drivers/file/file-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(change, .timeout = 60);

static void assert_refuses_writing(FileFixture *f, int err)
{
  g_autoptr(GError) foreseen = NULL, error = NULL;
  cr_assert_not(file_fixture_can_change(f, &file_mode_write, &foreseen));
  cr_assert_eq(bg_error_errno(foreseen), err, "%s", foreseen->message);
  cr_assert_not(file_fixture_change(f, &file_mode_write, &error));
  cr_assert_eq(bg_error_errno(error), err, "%s", error->message);
  cr_assert_not_null(strstr(error->message, f->path));
  cr_assert_eq(file_fixture_flags(f) & O_ACCMODE, O_RDONLY);
}

Test(change, back_and_forth)
{
  FileFixture f;
  file_fixture_init(&f, "0123");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  for (int i = 0; i < 3; i++) {
    cr_assert(file_fixture_can_change(&f, &file_mode_write, NULL));
    cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
    cr_assert_eq(file_fixture_flags(&f) & O_ACCMODE, O_RDWR);
    cr_assert_eq(file_fixture_write(&f, 1, "ab"), 0);
    cr_assert(file_fixture_change(&f, &file_mode_read, NULL));
    cr_assert_eq(file_fixture_flags(&f) & O_ACCMODE, O_RDONLY);
    cr_assert_eq(file_fixture_write(&f, 1, "xy"), -EBADF);
  }
  file_fixture_assert_content(&f, 0, "0ab3", 4);
  file_fixture_clear(&f);
}

Test(change, abort_puts_the_old_file_back)
{
  FileFixture f;
  file_fixture_init(&f, "0123");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  for (int settled = 0; settled < 2; settled++) {
    void *pending;
    cr_assert(f.driver->change_open(f.instance, &file_mode_write, f.options, &pending, NULL));
    if (settled) {
      cr_assert(f.driver->change_settle(f.instance, pending, NULL));
      cr_assert_eq(file_fixture_write(&f, 0, "x"), 0);
    }
    f.driver->change_abort(f.instance, pending);
    cr_assert_eq(file_fixture_flags(&f) & O_ACCMODE, O_RDONLY);
    cr_assert_eq(file_fixture_write(&f, 0, "y"), -EBADF);
  }
  file_fixture_assert_content(&f, 0, "x123", 4);

  /* Another writer finds nothing left of our locks but a reader's. */
  cr_assert(file_fixture_change(&f, &file_mode_unused, NULL));
  FileFixture other = {.driver = f.driver, .path = f.path};
  cr_assert(file_fixture_open(&other, "on", &file_mode_unused, NULL));
  cr_assert(file_fixture_can_change(&other, &file_mode_write, NULL));
  other.driver->close(other.instance);
  bg_options_clear(other.driver->options, other.options);
  g_free(other.options);
  file_fixture_clear(&f);
}

Test(change, follows_a_file_that_lost_its_name)
{
  FileFixture f;
  file_fixture_init(&f, "0123");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  cr_assert_eq(unlink(f.path), 0);
  cr_assert(g_file_set_contents(f.path, "another", -1, NULL));
  cr_assert(file_fixture_can_change(&f, &file_mode_write, NULL));
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  cr_assert_eq(file_fixture_write(&f, 0, "ab"), 0);
  file_fixture_assert_content(&f, 0, "ab23", 4);
  g_autofree char *content = NULL;
  cr_assert(g_file_get_contents(f.path, &content, NULL, NULL));
  cr_assert_str_eq(content, "another");
  file_fixture_clear(&f);
}

typedef struct Reader {
  FileFixture *f;
  int stop; /* atomic */
  int error;
} Reader;

static void *read_on(void *data)
{
  Reader *reader = data;
  while (!__atomic_load_n(&reader->stop, __ATOMIC_RELAXED)) {
    char bytes[4];
    struct iovec iov = {bytes, sizeof bytes};
    int rc = reader->f->driver->preadv(reader->f->instance, &iov, 1, 0);
    if (rc == 0 && memcmp(bytes, "0123", 4) != 0)
      rc = -EILSEQ;
    if (rc == 0 && reader->f->driver->size(reader->f->instance) != 4)
      rc = -ESTALE;
    if (rc < 0)
      reader->error = rc;
  }
  return NULL;
}

Test(change, readers_notice_nothing)
{
  FileFixture f;
  file_fixture_init(&f, "0123");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  Reader readers[2] = {{&f}, {&f}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
  for (int i = 0; i < 300; i++)
    cr_assert(file_fixture_change(&f, i % 2 ? &file_mode_read : &file_mode_write, NULL));
  for (int i = 0; i < 2; i++) {
    __atomic_store_n(&readers[i].stop, 1, __ATOMIC_RELAXED);
    pthread_join(threads[i], NULL);
    cr_assert_eq(readers[i].error, 0);
  }
  file_fixture_clear(&f);
}

/* Runs `test` in a child that has given up being root, or as we are. */
static void run_unprivileged(void (*test)(FileFixture *f), FileFixture *f)
{
  if (geteuid() != 0) {
    test(f);
    return;
  }
  cr_assert_eq(chmod(f->directory, 0755), 0);
  cr_assert_eq(chown(f->path, 65534, 65534), 0);
  cr_assert_eq(seteuid(65534), 0);
  test(f);
  cr_assert_eq(seteuid(0), 0);
}

static void denied_by_mode(FileFixture *f)
{
  cr_assert(file_fixture_open(f, "auto", &file_mode_read, NULL));
  assert_refuses_writing(f, EACCES);
  cr_assert_eq(chmod(f->path, 0644), 0);
  cr_assert(file_fixture_can_change(f, &file_mode_write, NULL));
  cr_assert(file_fixture_change(f, &file_mode_write, NULL));
}

Test(change, follows_the_mode_bits)
{
  FileFixture f;
  file_fixture_init(&f, "0123");
  cr_assert_eq(chmod(f.path, 0444), 0);
  run_unprivileged(denied_by_mode, &f);
  file_fixture_clear(&f);
}

Test(change, immutable_files)
{
  FileFixture f;
  file_fixture_init(&f, "0123");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  int fd = open(f.path, O_RDONLY | O_CLOEXEC), flags = 0;
  static const int bits[] = {FS_IMMUTABLE_FL, FS_APPEND_FL};
  for (int i = 0; i < 2; i++) {
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || (flags |= bits[i], ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)) {
      close(fd);
      file_fixture_clear(&f);
      cr_skip("no right to set the immutable flag, or no such flag");
    }
    g_autoptr(GError) foreseen = NULL, error = NULL;
    bool foresaw = !file_fixture_can_change(&f, &file_mode_write, &foreseen);
    bool refused = !file_fixture_change(&f, &file_mode_write, &error);
    flags &= ~bits[i];
    cr_assert_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
    cr_assert(foresaw && refused);
    cr_assert_eq(bg_error_errno(foreseen), EACCES);
    cr_assert_eq(bg_error_errno(error), EACCES);
  }
  close(fd);
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  file_fixture_clear(&f);
}

Test(change, read_only_mount)
{
  FileFixture f;
  file_fixture_init(&f, "0123");
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
      mount(f.directory, f.directory, NULL, MS_BIND, NULL) < 0) {
    file_fixture_clear(&f);
    cr_skip("no right to mount");
  }
  cr_assert_eq(mount(NULL, f.directory, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  assert_refuses_writing(&f, EROFS);
  cr_assert_eq(mount(NULL, f.directory, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
  cr_assert(file_fixture_can_change(&f, &file_mode_write, NULL));
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  f.driver->close(f.instance);
  f.instance = NULL;
  cr_assert_eq(umount(f.directory), 0);
  file_fixture_clear(&f);
}
