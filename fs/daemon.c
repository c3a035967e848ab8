#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void wait_for_child(int descriptor, pid_t child)
{
  char byte;
  ssize_t got;
  while ((got = read(descriptor, &byte, 1)) < 0 && errno == EINTR)
    ;
  if (got == 1)
    _exit(EXIT_SUCCESS);

  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  if (WIFSIGNALED(status)) {
    fprintf(stderr, "blockgraphfs: ended by signal %d before the mount stood\n", WTERMSIG(status));
    _exit(EXIT_FAILURE);
  }
  _exit(WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

/* What the caller happened to have open (pipes somebody reads to their end, lock files) must not stay open as long
 * as the mount stands. */
static void keep_only(int descriptor)
{
  if (descriptor > STDERR_FILENO + 1)
    close_range(STDERR_FILENO + 1, descriptor - 1, 0);
  close_range(descriptor + 1, ~0U, 0);
}

int bgfs_daemon_fork(void)
{
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -1;
  pid_t child = fork();
  if (child < 0) {
    close(ends[0]);
    close(ends[1]);
    return -1;
  }
  if (child > 0) {
    close(ends[1]);
    wait_for_child(ends[0], child);
  }
  keep_only(ends[1]);
  return ends[1];
}

void bgfs_daemon_ready(int descriptor)
{
  setsid();
  if (chdir("/") < 0)
    g_warning("cannot change to /: %s", g_strerror(errno));
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int stream = 0; null >= 0 && stream <= 2; stream++)
    dup2(null, stream);
  if (null > 2)
    close(null);
  if (write(descriptor, "", 1) < 0)
    g_warning("the process that started the mount is gone");
  close(descriptor);
}
