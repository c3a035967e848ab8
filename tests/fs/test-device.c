#include "fs/device.h"

#include "fs/fs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(device, .timeout = 30);

static void count(void *data)
{
  atomic_fetch_add((atomic_uint *)data, 1);
}

/* A session that takes its requests from the descriptor, which becomes its own. */
static struct fuse_session *session_on(int fd, BgfsFs *fs)
{
  static const struct fuse_lowlevel_ops ops;
  struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
  cr_assert_eq(fuse_opt_add_arg(&args, "test"), 0);
  struct fuse_session *session = fuse_session_new(&args, &ops, sizeof ops, fs);
  fuse_opt_free_args(&args);
  g_autofree char *name = g_strdup_printf("/dev/fd/%d", fd);
  cr_assert_eq(fuse_session_mount(session, name), 0);
  fs->session = session;
  cr_assert_eq(bgfs_device_install(fs), 0);
  return session;
}

static void *receive(void *session)
{
  struct fuse_buf buffer = {0};
  intptr_t result = fuse_session_receive_buf(session, &buffer);
  free(buffer.mem);
  return (void *)result;
}

/* From now on, whoever reads from the descriptor gets the error. */
static bool make_reading_fail(int fd, int error)
{
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)fd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {G_N_ELEMENTS(code), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void expect_gone(int error)
{
  atomic_uint gone = 0;
  BgfsFs fs = {.gone = count, .callback_data = &gone};
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  struct fuse_session *session = session_on(fd, &fs);
  if (!make_reading_fail(fd, error))
    cr_skip_test("no filters for system calls");
  cr_assert_eq((intptr_t)receive(session), 0, "an end, and no failure");
  cr_assert(fuse_session_exited(session));
  cr_assert_eq(gone, 1);
  fuse_session_destroy(session);
}

Test(device, a_mount_that_is_gone_is_told)
{
  expect_gone(ENODEV);
}

Test(device, also_where_it_went_with_a_request)
{
  expect_gone(ECONNABORTED);
}

/* ── cancelled while libfuse says why it cannot read ── */

/* So that whoever writes there waits until it is read. */
static void fill(int pipe)
{
  static const char bytes[4096];
  fcntl(pipe, F_SETFL, O_NONBLOCK);
  for (size_t length = sizeof bytes; length > 0; length /= 2)
    while (write(pipe, bytes, length) > 0)
      ;
  fcntl(pipe, F_SETFL, 0);
}

static void drain(int pipe)
{
  char bytes[4096];
  fcntl(pipe, F_SETFL, O_NONBLOCK);
  while (read(pipe, bytes, sizeof bytes) > 0)
    ;
}

static bool stderr_is_free(void)
{
  bool free = ftrylockfile(stderr) == 0;
  if (free)
    funlockfile(stderr);
  return free;
}

/* A folder cannot be read from, and nobody reads what is said of it. */
Test(device, who_is_cancelled_takes_no_lock_with_him)
{
  BgfsFs fs = {.gone = count};
  struct fuse_session *session = session_on(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &fs);
  int ends[2], before = dup(STDERR_FILENO);
  cr_assert_eq(pipe(ends), 0);
  fprintf(stderr, "\n"); /* from then on perror() uses it as it is */
  dup2(ends[1], STDERR_FILENO);
  fill(ends[1]);

  pthread_t thread;
  cr_assert_eq(pthread_create(&thread, NULL, receive, session), 0);
  while (stderr_is_free())
    g_usleep(1000);
  pthread_cancel(thread);
  drain(ends[0]);
  void *result;
  pthread_join(thread, &result);
  dup2(before, STDERR_FILENO);

  cr_assert_eq((intptr_t)result, -EISDIR);
  cr_assert(stderr_is_free());
  fuse_session_destroy(session);
  close(before);
  close(ends[0]);
  close(ends[1]);
}
