#include "fs/ctl/interrupt.h"

#include "drivers/error.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int bgfs_ctl_interrupt_new(GError **error)
{
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  int fd = sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC) : -1;
  if (fd < 0)
    bg_set_error_errno(error, errno, "cannot take signals");
  return fd;
}

bool bgfs_ctl_interrupt_take(int interrupt)
{
  struct signalfd_siginfo info;
  return read(interrupt, &info, sizeof info) == sizeof info;
}
