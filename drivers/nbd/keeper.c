#include "drivers/nbd/keeper.h"

#include "drivers/error.h"
#include "drivers/nbd/connection.h"
#include "drivers/nbd/exchange.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#define CONNECT_TIMEOUT (10 * G_USEC_PER_SEC)
#define PAUSE_MIN       50  /* ms between attempts, doubled each time */
#define PAUSE_MAX       500 /* ms */
#define STEADY          G_USEC_PER_SEC

/* ── down ── */

/* Answered requests that their callers have not looked at yet are acknowledged all the same. */
static void lose_requests(BgNbdSession *s)
{
  for (GList *link = s->under_way.head; link; link = link->next) {
    BgNbdRequest *request = link->data;
    if (!bg_nbd_request_lose(request) && request->kept && request->outcome == BG_NBD_ANSWERED && request->error == 0)
      request->kept->acknowledged = true;
  }
}

static bool writes_under_way_done(BgNbdSession *s)
{
  for (GList *link = s->under_way.head; link; link = link->next) {
    BgNbdRequest *request = link->data;
    bool writes = request->command == BG_NBD_WRITE || request->command == BG_NBD_ZERO;
    if (writes && bg_nbd_request_outcome(request) == BG_NBD_ANSWERED && request->error == 0)
      return true;
  }
  return false;
}

/* Acknowledged, not durable, and not kept: whoever flushes must hear of it. */
static void note_loss(BgNbdSession *s)
{
  bool unflushed = s->written != s->flushed || writes_under_way_done(s);
  if (unflushed && s->facts.flush && s->reconnect_delay == 0 && s->flush_error == 0)
    s->flush_error = EIO;
}

/* Under the lock, which is given up meanwhile. */
static void take_down(BgNbdSession *s)
{
  bool politely = s->stop && !s->lost, listens = politely;
  if (s->state == BG_NBD_UP) {
    s->state = BG_NBD_DOWN;
    s->outages++;
    s->grace_until = g_get_monotonic_time() + (int64_t)s->reconnect_delay * G_USEC_PER_SEC;
  }
  pthread_mutex_unlock(&s->lock);
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++)
    listens = bg_nbd_connection_stop(&s->connections[i], listens);
  pthread_mutex_lock(&s->lock);
  if (!politely)
    note_loss(s);
  lose_requests(s);
  s->lost = false;
  pthread_cond_broadcast(&s->changed);
}

/* ── up ── */

static void start_others(BgNbdSession *s)
{
  for (unsigned i = 1; i < BG_NBD_CONNECTIONS && s->facts.multi_conn; i++)
    bg_nbd_connection_start_another(&s->connections[i]);
}

/* Not under the lock. */
static bool start_first(BgNbdSession *s, struct nbd_handle *nbd)
{
  s->connections[0].nbd = nbd;
  if (bg_nbd_connection_start(&s->connections[0]))
    return true;
  nbd_close(nbd);
  s->connections[0].nbd = NULL;
  return false;
}

/* Under the lock. */
static void set_up(BgNbdSession *s)
{
  s->connections[0].usable = true;
  s->state = BG_NBD_UP;
  s->up_since = g_get_monotonic_time();
  s->answered = false;
  s->abandoned = false;
  g_clear_pointer(&s->failure, g_free);
  pthread_cond_broadcast(&s->changed);
}

/* ── again ── */

static char *differs(const BgNbdSession *s, const BgNbdFacts *now)
{
  const BgNbdFacts *before = &s->facts;
  if (now->size != before->size)
    return g_strdup_printf("its export has %" G_GUINT64_FORMAT
                           " bytes since it was reconnected, not %" G_GUINT64_FORMAT,
                           now->size, before->size);
  if (now->read_only && s->writable)
    return g_strdup("its export is read-only since it was reconnected");
  if (now->minimum > before->minimum || now->maximum < before->maximum)
    return g_strdup("it takes other sizes of blocks since it was reconnected");
  if (before->flush && !now->flush)
    return g_strdup("it does not flush any more since it was reconnected");
  return NULL;
}

/* False: the connection is broken already, or nobody wants it any more. */
static bool begin_replay(BgNbdSession *s, BgNbdRequest *request)
{
  pthread_mutex_lock(&s->lock);
  bool whole = !s->lost && !s->stop;
  s->replayed = whole ? request : NULL;
  if (whole)
    bg_nbd_exchange_begin(&s->connections[0], request);
  pthread_mutex_unlock(&s->lock);
  return whole;
}

/* One after the other: they may overlap, and servers keep no order among what is under way. False: lost again. */
static bool replay_one(BgNbdSession *s, BgNbdKept *kept)
{
  BgNbdRequest request;
  bg_nbd_request_init(&request, kept->zero ? BG_NBD_ZERO : BG_NBD_WRITE, kept->offset, kept->length);
  request.buffer = kept->zero ? NULL : kept->data;
  request.flags = kept->flags;
  BgNbdOutcome outcome = begin_replay(s, &request) ? bg_nbd_exchange(&s->connections[0], &request) : BG_NBD_LOST;
  pthread_mutex_lock(&s->lock);
  s->replayed = NULL;
  if (outcome == BG_NBD_ANSWERED && request.error)
    s->flush_error = request.error;
  pthread_mutex_unlock(&s->lock);
  bg_nbd_request_clear(&request);
  return outcome == BG_NBD_ANSWERED;
}

/* Nobody else adds to what is acknowledged, or takes from it, while the session is down. */
static bool replay(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  BgNbdKept *kept = bg_nbd_unstable_next(&s->unstable, NULL);
  pthread_mutex_unlock(&s->lock);
  while (kept) {
    if (!replay_one(s, kept))
      return false;
    pthread_mutex_lock(&s->lock);
    kept = bg_nbd_unstable_next(&s->unstable, kept);
    pthread_mutex_unlock(&s->lock);
  }
  return true;
}

/* Under the lock. */
static void fail_for_good(BgNbdSession *s, char *why)
{
  g_free(s->failure);
  s->failure = g_strdup_printf("NBD server '%s': %s", s->target->uri, why);
  s->state = BG_NBD_FAILED;
  pthread_cond_broadcast(&s->changed);
  if (s->host)
    s->host->event(s->host, BG_EVENT_WARNING, s->failure);
}

static void tell_reconnected(BgNbdSession *s)
{
  if (!s->host)
    return;
  g_autofree char *message = g_strdup_printf("reconnected to NBD server '%s'", s->target->uri);
  s->host->event(s->host, BG_EVENT_WARNING, message);
}

/* With a handle that is connected. Not under the lock. */
static void resume(BgNbdSession *s, struct nbd_handle *nbd, const BgNbdFacts *facts)
{
  pthread_mutex_lock(&s->lock);
  g_autofree char *difference = differs(s, facts);
  if (difference)
    fail_for_good(s, difference);
  else
    s->facts = *facts;
  pthread_mutex_unlock(&s->lock);
  if (difference) {
    nbd_close(nbd);
    return;
  }
  if (!start_first(s, nbd))
    return;
  bool whole = replay(s);
  pthread_mutex_lock(&s->lock);
  if (whole && !s->lost && !s->stop)
    set_up(s);
  bool up = s->state == BG_NBD_UP;
  s->lost = s->lost || !up;
  pthread_mutex_unlock(&s->lock);
  if (!up)
    return;
  start_others(s);
  tell_reconnected(s);
}

/* Not under the lock. */
static void pause_after(BgNbdSession *s, int *pause)
{
  struct pollfd woken = {s->wake_fd, POLLIN, 0};
  poll(&woken, 1, *pause);
  *pause = MIN(*pause * 2, PAUSE_MAX);
}

static void remember_failure(BgNbdSession *s, const GError *error)
{
  pthread_mutex_lock(&s->lock);
  g_free(s->failure);
  s->failure = g_strdup(error->message);
  pthread_mutex_unlock(&s->lock);
}

/* Under the lock, which is given up meanwhile: one attempt, and the pause after one that failed. */
static void try_again(BgNbdSession *s, int *pause)
{
  g_autoptr(GError) error = NULL;
  BgNbdFacts facts;
  pthread_mutex_unlock(&s->lock);
  struct nbd_handle *nbd =
      bg_nbd_handshake(s->target, s->wake_fd, g_get_monotonic_time() + CONNECT_TIMEOUT, &facts, &error);
  if (nbd) {
    resume(s, nbd, &facts);
  } else {
    remember_failure(s, error);
    pause_after(s, pause);
  }
  pthread_mutex_lock(&s->lock);
}

/* ── the thread ── */

static void tell_lost(BgNbdSession *s)
{
  if (!s->host)
    return;
  g_autofree char *message = g_strdup_printf("the connection to NBD server '%s' is lost", s->target->uri);
  s->host->event(s->host, BG_EVENT_WARNING, message);
}

/* Under the lock, which is given up meanwhile. */
static void pause_unlocked(BgNbdSession *s, int *pause)
{
  pthread_mutex_unlock(&s->lock);
  pause_after(s, pause);
  pthread_mutex_lock(&s->lock);
}

static void *keep(void *data)
{
  BgNbdSession *s = data;
  int pause = PAUSE_MIN;
  pthread_mutex_lock(&s->lock);
  while (!s->stop) {
    if (s->lost) {
      bool was_up = s->state == BG_NBD_UP;
      take_down(s);
      if (was_up)
        tell_lost(s);
      if (s->answered || g_get_monotonic_time() - s->up_since > STEADY)
        pause = PAUSE_MIN;
      else /* it breaks again and again, and nothing gets done */
        pause_unlocked(s, &pause);
    } else if (s->state == BG_NBD_DOWN) {
      try_again(s, &pause);
    } else {
      pthread_cond_wait(&s->changed, &s->lock);
    }
  }
  take_down(s);
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

/* ── from its start to its end ── */

static bool bring_up(BgNbdSession *s, struct nbd_handle *nbd, const BgNbdFacts *facts)
{
  s->facts = *facts;
  s->maximum = facts->maximum;
  if (!start_first(s, nbd))
    return false;
  pthread_mutex_lock(&s->lock);
  set_up(s);
  pthread_mutex_unlock(&s->lock);
  start_others(s);
  return true;
}

bool bg_nbd_keeper_start(BgNbdSession *s, struct nbd_handle *nbd, const BgNbdFacts *facts, GError **error)
{
  int rc = bring_up(s, nbd, facts) ? pthread_create(&s->keeper, NULL, keep, s) : EAGAIN;
  if (rc == 0)
    return true;
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++)
    bg_nbd_connection_stop(&s->connections[i], false);
  bg_set_error_errno(error, rc, "cannot start a thread");
  return false;
}

void bg_nbd_keeper_stop(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  s->stop = true;
  if (s->replayed)
    atomic_store(&s->connections[0].over, true);
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
  eventfd_write(s->connections[0].wake_fd, 1);
  eventfd_write(s->wake_fd, 1);
  pthread_join(s->keeper, NULL);
}
