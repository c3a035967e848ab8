#include "fs/busy-poll.h"

#include <glib.h>
#include <poll.h>
#include <sched.h>

/* A sleeper is woken late: what came within so many µs would have come in time for one who looks. */
enum { SOON = 2 * BGFS_BUSY_POLL_US };

void bgfs_busy_poll_init(BgfsBusyPoll *busy, unsigned processors)
{
  busy->possible = processors > 1;
}

static void look(int fd, int64_t until)
{
  struct pollfd device = {fd, POLLIN, 0};
  while (poll(&device, 1, 0) == 0 && g_get_monotonic_time() < until)
    sched_yield(); /* who asks may be waiting for this very processor */
}

void bgfs_busy_poll(BgfsBusyPoll *busy, int fd, int64_t now)
{
  if (!busy->possible || !atomic_load_explicit(&busy->worthwhile, memory_order_relaxed) ||
      atomic_exchange(&busy->looking, true))
    return;
  look(fd, now + BGFS_BUSY_POLL_US);
  atomic_store(&busy->looking, false);
}

void bgfs_busy_poll_came(BgfsBusyPoll *busy, int64_t waited)
{
  bool soon = waited < SOON;
  if (soon != atomic_load_explicit(&busy->worthwhile, memory_order_relaxed))
    atomic_store_explicit(&busy->worthwhile, soon, memory_order_relaxed);
}
