#include "fs/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct BgfsSignals {
  void (*handler)(void *data, int signal);
  void *data;
  int signal_fd, stop_fd;
  pthread_t thread;
};

static void *take_signals(void *data)
{
  BgfsSignals *signals = data;
  for (;;) {
    struct pollfd fds[] = {{signals->signal_fd, POLLIN, 0}, {signals->stop_fd, POLLIN, 0}};
    if (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno != EINTR)
      return NULL;
    if (fds[1].revents)
      return NULL;
    struct signalfd_siginfo info;
    if (fds[0].revents && read(signals->signal_fd, &info, sizeof(info)) == sizeof(info))
      signals->handler(signals->data, info.ssi_signo);
  }
}

static void clear(BgfsSignals *signals)
{
  if (signals->signal_fd >= 0)
    close(signals->signal_fd);
  if (signals->stop_fd >= 0)
    close(signals->stop_fd);
  g_free(signals);
}

BgfsSignals *bgfs_signals_new(void (*handler)(void *data, int signal), void *data)
{
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);

  BgfsSignals *signals = g_new0(BgfsSignals, 1);
  signals->handler = handler;
  signals->data = data;
  signals->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
  signals->stop_fd = eventfd(0, EFD_CLOEXEC);
  int result = signals->signal_fd < 0 || signals->stop_fd < 0 ? errno : 0;
  if (result == 0)
    result = pthread_create(&signals->thread, NULL, take_signals, signals);
  if (result == 0)
    return signals;
  clear(signals);
  errno = result;
  return NULL;
}

void bgfs_signals_free(BgfsSignals *signals)
{
  if (!signals)
    return;
  eventfd_write(signals->stop_fd, 1);
  pthread_join(signals->thread, NULL);
  clear(signals);
}
