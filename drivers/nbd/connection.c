#include "drivers/nbd/connection.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EXTRA_TIMEOUT (10 * G_USEC_PER_SEC)
#define LEAVE_TIMEOUT 500 /* ms */

static void drain(int fd)
{
  eventfd_t count;
  eventfd_read(fd, &count);
}

static void serve(BgNbdConnection *connection)
{
  while (!atomic_load(&connection->over) && bg_nbd_pump(connection->nbd, connection->wake_fd, -1))
    drain(connection->wake_fd);
}

static void tell_lost(BgNbdConnection *connection)
{
  BgNbdSession *session = connection->session;
  pthread_mutex_lock(&session->lock);
  connection->usable = false;
  if (session->replayed) /* nobody else would end it: the keeper waits for it, and nobody drives the handle any more */
    bg_nbd_request_lose(session->replayed);
  if (!atomic_load(&connection->over))
    bg_nbd_state_lose(session);
  pthread_mutex_unlock(&session->lock);
}

static void *run(void *data)
{
  serve(data);
  tell_lost(data);
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

void bg_nbd_connection_kick(BgNbdConnection *connection)
{
  if (nbd_aio_get_direction(connection->nbd) & LIBNBD_AIO_DIRECTION_WRITE)
    eventfd_write(connection->wake_fd, 1);
}

/* ── the end ── */

static void wait_for_issuers(BgNbdConnection *connection)
{
  BgNbdSession *session = connection->session;
  pthread_mutex_lock(&session->lock);
  connection->usable = false;
  while (connection->issuing > 0)
    pthread_cond_wait(&session->changed, &session->lock);
  pthread_mutex_unlock(&session->lock);
}

/* A server that is told need not wonder. */
static void take_leave(BgNbdConnection *connection)
{
  int64_t until = g_get_monotonic_time() + LEAVE_TIMEOUT * 1000;
  drain(connection->wake_fd);
  if (nbd_aio_is_ready(connection->nbd) <= 0 || nbd_aio_disconnect(connection->nbd, 0) < 0)
    return;
  while (g_get_monotonic_time() < until)
    if (!bg_nbd_pump(connection->nbd, connection->wake_fd, LEAVE_TIMEOUT / 10))
      return;
}

void bg_nbd_connection_stop(BgNbdConnection *connection, bool politely)
{
  if (!connection->started)
    return;
  atomic_store(&connection->over, true);
  eventfd_write(connection->wake_fd, 1);
  pthread_join(connection->thread, NULL);
  connection->started = false;
  wait_for_issuers(connection);
  if (!connection->nbd)
    return;
  if (politely)
    take_leave(connection);
  nbd_close(connection->nbd);
  connection->nbd = NULL;
}
