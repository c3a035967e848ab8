#include "drivers/nbd/connection.h"

#include "drivers/clock.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How long nobody must have driven a connection before its own thread does: whoever comes then has to be woken by it. */
#define QUIET (50 * 1000) /* µs */

#define EXTRA_TIMEOUT (10 * G_USEC_PER_SEC)
#define LEAVE_TIMEOUT 500 /* ms */

static void drain(int fd)
{
  eventfd_t count;
  eventfd_read(fd, &count);
}

/* ── driving ── */

/* Under the lock: nobody drives it any more, so nobody ends what is under way but the keeper; not even his own. */
static void break_off(BgNbdConnection *connection)
{
  BgNbdSession *session = connection->session;
  connection->usable = false;
  connection->broken = true;
  if (session->replayed)
    bg_nbd_request_lose(session->replayed);
  if (!atomic_load(&connection->over))
    bg_nbd_state_lose(session);
  pthread_cond_broadcast(&session->changed);
}

/* One step. False: the connection is at its end, or shall be. */
static bool step(BgNbdConnection *connection)
{
  bool whole = bg_nbd_pump(connection->nbd, connection->wake_fd, -1);
  drain(connection->wake_fd);
  return whole && !atomic_load(&connection->over);
}

/* Under the lock: another one who waits takes over; nobody, if none does. */
static void pass_on(BgNbdConnection *connection)
{
  connection->driven = false;
  connection->driven_at = g_get_monotonic_time();
  for (GList *link = connection->session->under_way.head; link && !connection->driven; link = link->next) {
    BgNbdRequest *other = link->data;
    connection->driven = other->connection == connection && bg_nbd_request_appoint(other);
  }
}

static void end_driving(BgNbdConnection *connection, bool whole)
{
  BgNbdSession *session = connection->session;
  pthread_mutex_lock(&session->lock);
  if (whole) {
    pass_on(connection);
  } else {
    connection->driven = false;
    break_off(connection);
  }
  if (atomic_load(&connection->over)) /* somebody waits for that */
    pthread_cond_broadcast(&session->changed);
  pthread_mutex_unlock(&session->lock);
}

static void drive(BgNbdConnection *connection, BgNbdRequest *request)
{
  bool whole = !atomic_load(&connection->over);
  while (whole && bg_nbd_request_outcome(request) == BG_NBD_UNDER_WAY)
    whole = step(connection);
  end_driving(connection, whole);
}

/* Under the lock. */
static bool may_drive(const BgNbdConnection *connection)
{
  return !connection->driven && !connection->broken && !atomic_load(&connection->over);
}

bool bg_nbd_connection_sent(BgNbdConnection *connection)
{
  pthread_mutex_lock(&connection->session->lock);
  bool mine = may_drive(connection);
  connection->driven |= mine;
  pthread_mutex_unlock(&connection->session->lock);
  if (!mine && nbd_aio_get_direction(connection->nbd) & LIBNBD_AIO_DIRECTION_WRITE)
    eventfd_write(connection->wake_fd, 1);
  return mine;
}

BgNbdOutcome bg_nbd_connection_wait(BgNbdConnection *connection, BgNbdRequest *request, bool mine)
{
  BgNbdOutcome outcome = BG_NBD_UNDER_WAY;
  while (outcome == BG_NBD_UNDER_WAY || mine) {
    if (mine)
      drive(connection, request);
    outcome = bg_nbd_request_wait(request, &mine);
  }
  return outcome;
}

/* ── its own thread ── */

/* Under the lock: until it has not been driven for a while, or is at its end. */
static void wait_for_quiet(BgNbdConnection *connection)
{
  BgNbdSession *session = connection->session;
  while (!atomic_load(&connection->over) && !connection->broken) {
    int64_t until = connection->driven_at + QUIET;
    if (connection->driven)
      until = g_get_monotonic_time() + QUIET;
    else if (g_get_monotonic_time() >= until)
      return;
    struct timespec deadline = bg_clock_at(until);
    pthread_cond_timedwait(&session->changed, &session->lock, &deadline);
  }
}

static void *run(void *data)
{
  BgNbdConnection *connection = data;
  BgNbdSession *session = connection->session;
  pthread_mutex_lock(&session->lock);
  for (;;) {
    wait_for_quiet(connection);
    if (!may_drive(connection))
      break;
    connection->driven = true;
    pthread_mutex_unlock(&session->lock);
    end_driving(connection, step(connection));
    pthread_mutex_lock(&session->lock);
  }
  if (!connection->broken && !connection->driven)
    break_off(connection);
  pthread_mutex_unlock(&session->lock);
  return NULL;
}

static bool same_export(const BgNbdFacts *a, const BgNbdFacts *b)
{
  return a->size == b->size && a->minimum == b->minimum && a->maximum == b->maximum && a->read_only == b->read_only &&
         a->flush == b->flush && a->multi_conn == b->multi_conn;
}

static void *connect_and_run(void *data)
{
  BgNbdConnection *connection = data;
  BgNbdSession *session = connection->session;
  g_autoptr(GError) error = NULL;
  BgNbdFacts facts;
  struct nbd_handle *nbd =
      bg_nbd_handshake(session->target, connection->wake_fd, g_get_monotonic_time() + EXTRA_TIMEOUT, &facts, &error);
  if (!nbd) { /* the others do */
    g_debug("%s", error->message);
    return NULL;
  }
  pthread_mutex_lock(&session->lock);
  bool fits = same_export(&facts, &session->facts) && !atomic_load(&connection->over);
  connection->nbd = nbd;
  connection->usable = fits;
  pthread_mutex_unlock(&session->lock);
  return fits ? run(connection) : NULL;
}

static bool start(BgNbdConnection *connection, void *(*body)(void *))
{
  atomic_store(&connection->over, false);
  drain(connection->wake_fd);
  connection->broken = connection->driven = false;
  connection->driven_at = 0;
  connection->started = pthread_create(&connection->thread, NULL, body, connection) == 0;
  return connection->started;
}

bool bg_nbd_connection_start(BgNbdConnection *connection)
{
  return start(connection, run);
}

bool bg_nbd_connection_start_another(BgNbdConnection *connection)
{
  return start(connection, connect_and_run);
}

/* ── the end ── */

static void wait_for_callers(BgNbdConnection *connection)
{
  BgNbdSession *session = connection->session;
  pthread_mutex_lock(&session->lock);
  connection->usable = false;
  while (connection->issuing > 0 || connection->driven)
    pthread_cond_wait(&session->changed, &session->lock);
  pthread_mutex_unlock(&session->lock);
}

/* A server that is told need not wonder. False: it does not listen. */
static bool take_leave(BgNbdConnection *connection)
{
  int64_t until = g_get_monotonic_time() + LEAVE_TIMEOUT * 1000;
  drain(connection->wake_fd);
  if (nbd_aio_is_ready(connection->nbd) <= 0 || nbd_aio_disconnect(connection->nbd, 0) < 0)
    return true;
  bool whole = true;
  while (whole && g_get_monotonic_time() < until)
    whole = bg_nbd_pump(connection->nbd, connection->wake_fd, LEAVE_TIMEOUT / 10);
  return !whole;
}

static void tell_over(BgNbdConnection *connection)
{
  BgNbdSession *session = connection->session;
  pthread_mutex_lock(&session->lock);
  atomic_store(&connection->over, true);
  pthread_cond_broadcast(&session->changed);
  pthread_mutex_unlock(&session->lock);
  eventfd_write(connection->wake_fd, 1);
}

bool bg_nbd_connection_stop(BgNbdConnection *connection, bool politely)
{
  if (!connection->started)
    return politely;
  tell_over(connection);
  pthread_join(connection->thread, NULL);
  connection->started = false;
  wait_for_callers(connection);
  if (!connection->nbd)
    return politely;
  bool listens = politely && take_leave(connection);
  nbd_close(connection->nbd);
  connection->nbd = NULL;
  return listens;
}
