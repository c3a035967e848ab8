/* Image locks as other processes see them: each test plays the other party on an open file description of its own, which for
 * the kernel is another party even in this process. */
#include "drivers/error.h"
#include "tests/drivers/file/file-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(lock, .timeout = 60);

static int other_open(FileFixture *f)
{
  int fd = open(f->path, O_RDWR | O_CLOEXEC);
  cr_assert_geq(fd, 0);
  return fd;
}

static void other_lock(int fd, short type, off_t byte)
{
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
  cr_assert_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

/* All bytes that somebody else than `fd` has locked, as words in rising order. */
static char *locked_bytes(int fd)
{
  GString *bytes = g_string_new("");
  for (off_t byte = 0; byte < 300; byte++) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    cr_assert_eq(fcntl(fd, F_OFD_GETLK, &lock), 0);
    if (lock.l_type != F_UNLCK)
      g_string_append_printf(bytes, "%s%d", bytes->len ? " " : "", (int)byte);
  }
  return g_string_free(bytes, FALSE);
}

static void assert_locked(FileFixture *f, const char *expected)
{
  int fd = other_open(f);
  g_autofree char *bytes = locked_bytes(fd);
  cr_assert_str_eq(bytes, expected);
  close(fd);
}

Test(lock, bytes_of_each_mode)
{
  FileFixture f;
  file_fixture_init(&f, "data");
  cr_assert(file_fixture_open(&f, "on", &file_mode_unused, NULL));
  assert_locked(&f, "");
  cr_assert(file_fixture_change(&f, &file_mode_read, NULL));
  assert_locked(&f, "100 201 203");
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  assert_locked(&f, "100 101 103 201 203");
  cr_assert(file_fixture_change(&f, &file_mode_read, NULL));
  assert_locked(&f, "100 201 203");
  BgMode mode = file_mode_read;
  mode.force_share = true;
  cr_assert(file_fixture_change(&f, &mode, NULL));
  assert_locked(&f, "100");
  cr_assert(file_fixture_change(&f, &file_mode_unused, NULL));
  assert_locked(&f, "");
  file_fixture_clear(&f);
}

Test(lock, off_takes_none)
{
  FileFixture f;
  file_fixture_init(&f, "data");
  cr_assert(file_fixture_open(&f, "off", &file_mode_read, NULL));
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  assert_locked(&f, "");
  int fd = other_open(&f);
  other_lock(fd, F_RDLCK, 201);
  cr_assert(file_fixture_change(&f, &file_mode_read, NULL));
  cr_assert(file_fixture_can_change(&f, &file_mode_write, NULL));
  close(fd);
  file_fixture_clear(&f);
}

Test(lock, closing_lets_go)
{
  FileFixture f;
  file_fixture_init(&f, "data");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  f.driver->close(f.instance);
  f.instance = NULL;
  assert_locked(&f, "");
  file_fixture_clear(&f);
}

/* Another party's lock on `byte` must keep us from writing, say so with `message`, and change nothing. */
static void assert_blocked(off_t byte, const char *message)
{
  FileFixture f;
  file_fixture_init(&f, "data");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  int fd = other_open(&f);
  other_lock(fd, F_RDLCK, byte);

  g_autoptr(GError) foreseen = NULL, error = NULL;
  cr_assert_not(file_fixture_can_change(&f, &file_mode_write, &foreseen));
  cr_assert_eq(bg_error_errno(foreseen), EBUSY);
  cr_assert_str_eq(foreseen->message, message);
  cr_assert_not(file_fixture_change(&f, &file_mode_write, &error));
  cr_assert_eq(bg_error_errno(error), EBUSY);
  cr_assert_str_eq(error->message, message);

  g_autofree char *bytes = locked_bytes(fd);
  cr_assert_str_eq(bytes, "100 201 203");
  cr_assert(file_fixture_can_change(&f, &file_mode_read, NULL));
  close(fd);
  cr_assert_eq(file_fixture_flags(&f) & O_ACCMODE, O_RDONLY);
  cr_assert(file_fixture_can_change(&f, &file_mode_write, NULL));
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  file_fixture_clear(&f);
}

Test(lock, what_others_do_not_share)
{
  assert_blocked(201, "Failed to get \"write\" lock: held by this process");
  assert_blocked(203, "Failed to get \"resize\" lock: held by this process");
}

Test(lock, opening_is_refused_too)
{
  FileFixture f;
  file_fixture_init(&f, "data");
  int fd = other_open(&f);
  other_lock(fd, F_RDLCK, 101);
  g_autoptr(GError) error = NULL;
  cr_assert_not(file_fixture_open(&f, "auto", &file_mode_read, &error));
  cr_assert_eq(bg_error_errno(error), EBUSY);
  cr_assert_str_eq(error->message, "Failed to get shared \"write\" lock: held by this process");
  bg_options_clear(f.driver->options, f.options);
  g_clear_pointer(&f.options, g_free);

  BgMode mode = file_mode_read;
  mode.force_share = true;
  cr_assert(file_fixture_open(&f, "auto", &mode, NULL));
  close(fd);
  file_fixture_clear(&f);
}

Test(lock, an_exclusive_lock_is_in_the_way)
{
  FileFixture f;
  file_fixture_init(&f, "data");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_unused, NULL));
  int fd = other_open(&f);
  other_lock(fd, F_WRLCK, 203);
  g_autoptr(GError) error = NULL;
  cr_assert_not(file_fixture_change(&f, &file_mode_read, &error));
  cr_assert_eq(bg_error_errno(error), EBUSY);
  cr_assert_str_eq(error->message, "Failed to get shared \"resize\" lock: held by this process");
  g_autofree char *bytes = locked_bytes(fd);
  cr_assert_str_eq(bytes, "");
  close(fd);
  file_fixture_clear(&f);
}

/* A child that takes a POSIX or OFD lock, says so, and waits to be told to go. */
static pid_t spawn_holder(FileFixture *f, bool posix, off_t byte)
{
  int ready[2];
  cr_assert_eq(pipe(ready), 0);
  pid_t pid = fork();
  if (pid == 0) {
    int fd = open(f->path, O_RDWR);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    char answer = fcntl(fd, posix ? F_SETLK : F_OFD_SETLK, &lock) == 0 ? 'y' : 'n';
    if (write(ready[1], &answer, 1) == 1)
      poll(NULL, 0, 30000);
    _exit(0);
  }
  char answer = 'n';
  cr_assert_eq(read(ready[0], &answer, 1), 1);
  cr_assert_eq(answer, 'y');
  close(ready[0]);
  close(ready[1]);
  return pid;
}

static void assert_names_process(bool posix)
{
  FileFixture f;
  file_fixture_init(&f, "data");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  pid_t pid = spawn_holder(&f, posix, 201);
  g_autofree char *expected = g_strdup_printf("Failed to get \"write\" lock: held by process %d (", (int)pid);
  for (int i = 0; i < 2; i++) { /* the second time from memory */
    g_autoptr(GError) error = NULL;
    cr_assert_not(file_fixture_can_change(&f, &file_mode_write, &error));
    cr_assert(g_str_has_prefix(error->message, expected), "%s", error->message);
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  cr_assert(file_fixture_can_change(&f, &file_mode_write, NULL));
  file_fixture_clear(&f);
}

Test(lock, names_the_process)
{
  assert_names_process(false);
  assert_names_process(true);
}

/* Two nodes that both only need what the other shares. */
Test(lock, readers_agree)
{
  FileFixture f;
  file_fixture_init(&f, "data");
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  FileFixture g = {.driver = f.driver, .path = f.path};
  cr_assert(file_fixture_open(&g, "auto", &file_mode_read, NULL));
  g_autoptr(GError) error = NULL;
  cr_assert_not(file_fixture_change(&g, &file_mode_write, &error));
  cr_assert_str_eq(error->message, "Failed to get \"write\" lock: held by this process");
  g.driver->close(g.instance);
  bg_options_clear(g.driver->options, g.options);
  g_free(g.options);
  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  file_fixture_clear(&f);
}

/* Runs a QEMU tool as the other party. What it said, standard error included. */
static char *run_qemu(const char *program, const char *arguments, FileFixture *f, int *status)
{
  g_autofree char *command = g_strdup_printf("%s %s '%s'", program, arguments, f->path);
  char *out = NULL, *err = NULL;
  cr_assert(g_spawn_command_line_sync(command, &out, &err, status, NULL));
  char *both = g_strconcat(out, err, NULL);
  g_free(out);
  g_free(err);
  return both;
}

static void assert_qemu_runs(const char *arguments, FileFixture *f)
{
  int status;
  g_autofree char *said = run_qemu("qemu-io", arguments, f, &status);
  cr_assert_eq(status, 0, "%s", said);
}

static void assert_qemu_refused(const char *arguments, FileFixture *f, const char *message)
{
  int status;
  g_autofree char *said = run_qemu("qemu-io", arguments, f, &status);
  cr_assert_neq(status, 0);
  cr_assert_not_null(strstr(said, message), "%s", said);
}

Test(lock, qemu_agrees)
{
  g_autofree char *io = g_find_program_in_path("qemu-io"), *img = g_find_program_in_path("qemu-img");
  if (!io || !img)
    cr_skip("qemu-io and qemu-img are not installed");
  FileFixture f;
  file_fixture_init(&f, NULL);
  g_autofree char *quoted = g_strdup_printf("qemu-img create -q -f qcow2 '%s' 1M", f.path);
  int status;
  cr_assert(g_spawn_command_line_sync(quoted, NULL, NULL, &status, NULL) && status == 0);
  cr_assert(file_fixture_open(&f, "on", &file_mode_read, NULL));
  assert_qemu_runs("-r -c 'read 0 4' -f qcow2", &f);
  assert_qemu_refused("-c 'read 0 4' -f qcow2", &f, "Failed to get \"write\" lock");

  cr_assert(file_fixture_change(&f, &file_mode_write, NULL));
  assert_qemu_refused("-r -c 'read 0 4' -f qcow2", &f, "Failed to get shared \"write\" lock");
  assert_qemu_runs("-r -U -c 'read 0 4' -f qcow2", &f);

  cr_assert(file_fixture_change(&f, &file_mode_unused, NULL));
  assert_qemu_runs("-c 'write 0 4' -f qcow2", &f);
  file_fixture_clear(&f);
}
