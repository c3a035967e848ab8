#include "drivers/nbd/state.h"

#include "drivers/clock.h"
#include "drivers/error.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static BgNbdSession *session_alloc(BgNbdTarget *target, BgHost *host)
{
  BgNbdSession *s = g_new0(BgNbdSession, 1);
  bg_clock_cond_init(&s->changed);
  pthread_mutex_init(&s->lock, NULL);
  g_queue_init(&s->under_way);
  s->target = target;
  s->host = host;
  s->reconnect_delay = target->reconnect_delay;
  s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++) {
    s->connections[i].session = s;
    s->connections[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  }
  return s;
}

void bg_nbd_state_free(BgNbdSession *s)
{
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++)
    if (s->connections[i].wake_fd >= 0)
      close(s->connections[i].wake_fd);
  if (s->wake_fd >= 0)
    close(s->wake_fd);
  bg_nbd_unstable_clear(&s->unstable);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->lock);
  g_free(s->failure);
  g_free(s);
}

static bool has_descriptors(const BgNbdSession *s, GError **error)
{
  bool all = s->wake_fd >= 0;
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++)
    all = all && s->connections[i].wake_fd >= 0;
  if (!all)
    bg_set_error_errno(error, EMFILE, "cannot make an eventfd");
  return all;
}

BgNbdSession *bg_nbd_state_new(BgNbdTarget *target, BgHost *host, GError **error)
{
  BgNbdSession *s = session_alloc(target, host);
  if (has_descriptors(s, error))
    return s;
  bg_nbd_state_free(s);
  return NULL;
}

void bg_nbd_state_lose(BgNbdSession *s)
{
  s->lost = true;
  pthread_cond_broadcast(&s->changed);
}
