#include "fs/busy-poll.h"

#include <glib.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

/* A sleeper is woken late: what came within so many µs would have come in time for one who looks. */
enum { SOON = 2 * BGFS_BUSY_POLL_US };

void bgfs_busy_poll_init(BgfsBusyPoll *busy)
{
  busy->possible = sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

static void look(int fd, int64_t until)
{
  struct pollfd device = {fd, POLLIN, 0};
  while (poll(&device, 1, 0) == 0 && g_get_monotonic_time() < until)
    sched_yield(); /* who asks may be waiting for this very processor */
}

int64_t bgfs_busy_poll_begin(BgfsBusyPoll *busy, int fd)
{
  if (!busy->possible)
    return 0;
  int64_t now = g_get_monotonic_time();
  if (atomic_load_explicit(&busy->worthwhile, memory_order_relaxed) && !atomic_exchange(&busy->looking, true)) {
    look(fd, now + BGFS_BUSY_POLL_US);
    atomic_store(&busy->looking, false);
  }
  return now;
}

void bgfs_busy_poll_end(BgfsBusyPoll *busy, int64_t begun)
{
  if (!busy->possible)
    return;
  bool soon = g_get_monotonic_time() - begun < SOON;
  if (soon != atomic_load_explicit(&busy->worthwhile, memory_order_relaxed))
    atomic_store_explicit(&busy->worthwhile, soon, memory_order_relaxed);
}
