#include "fs/signals.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int seen, last;

static void handler(void *data, int signal)
{
  cr_assert_eq(data, &seen);
  last = signal;
  seen++;
}

static void wait_for(int count)
{
  while (seen < count)
    g_usleep(1000);
}

Test(signals, each_of_them_reaches_the_handler, .timeout = 10)
{
  BgfsSignals *signals = bgfs_signals_new(handler, &seen);
  cr_assert_not_null(signals);
  const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGTERM};
  for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
    kill(getpid(), numbers[i]);
    wait_for(i + 1);
    cr_assert_eq(last, numbers[i]);
  }
  bgfs_signals_free(signals);
}

Test(signals, a_closed_pipe_is_an_error_and_no_death, .timeout = 10)
{
  BgfsSignals *signals = bgfs_signals_new(handler, &seen);
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  close(ends[0]);
  cr_assert_eq(write(ends[1], "x", 1), -1);
  cr_assert_eq(errno, EPIPE);
  close(ends[1]);
  bgfs_signals_free(signals);
}
