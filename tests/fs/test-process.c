#include "drivers/error.h"
#include "fs/process.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start_child(const char *directory)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    if (chdir(directory) < 0 || write(ends[1], "", 1) != 1)
      _exit(1);
    pause();
    _exit(0);
  }
  char byte;
  cr_assert_eq(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  close(ends[1]);
  return child;
}

Test(process, waits_for_the_end, .timeout = 20)
{
  pid_t child = start_child("/");
  g_autoptr(GError) error = NULL;
  int process = bgfs_process_open(child, NULL);
  cr_assert_geq(process, 0);
  cr_assert_not(bgfs_process_wait(process, child, 1, &error));
  cr_assert_eq(bg_error_errno(error), ETIMEDOUT);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  g_autoptr(GError) failure = NULL;
  bool ok = bgfs_process_wait(process, child, 10, &failure);
  cr_assert(ok || bg_error_errno(failure) == EIO, "at most it is known that it was killed");
  close(process);
}

Test(process, that_is_gone_cannot_be_opened, .timeout = 10)
{
  pid_t child = start_child("/");
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  g_autoptr(GError) error = NULL;
  cr_assert_eq(bgfs_process_open(child, &error), -1);
  cr_assert_eq(bg_error_errno(error), ESRCH);
}

Test(process, users_of_a_directory_are_named, .timeout = 10)
{
  g_autofree char *directory = g_dir_make_tmp("process-XXXXXX", NULL);
  g_autofree char *similar = g_strconcat(directory, "x", NULL);
  g_autofree char *nobody = bgfs_process_users(directory);
  cr_assert_str_empty(nobody);
  pid_t child = start_child(directory);
  g_autofree char *number = g_strdup_printf("(%d)", child);
  g_autofree char *users = bgfs_process_users(directory);
  g_autofree char *others = bgfs_process_users(similar);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  g_rmdir(directory);
  cr_assert_not_null(strstr(users, number), "'%s'", users);
  cr_assert_str_empty(others, "a name that begins the same is another");
}

/* As the kernel has it while a process waits in it: killed, and not gone yet. */
static bool becomes_dying(pid_t pid)
{
  for (int i = 0; i < 500; i++, g_usleep(10000))
    if (bgfs_process_is_dying(pid))
      return true;
  return false;
}

Test(process, who_is_dying, .timeout = 30)
{
  cr_assert_not(bgfs_process_is_dying(getpid()));
  cr_assert_not(bgfs_process_is_dying(0));
  pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  kill(pid, SIGSTOP);
  cr_assert_not(bgfs_process_is_dying(pid));
  kill(pid, SIGUSR1); /* waits until it goes on: it ends it, but that does not count before */
  kill(pid, SIGKILL);
  cr_assert(becomes_dying(pid), "until it is reaped it is on its way out");
  waitpid(pid, NULL, 0);
  cr_assert_not(bgfs_process_is_dying(pid));
}
