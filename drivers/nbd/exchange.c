#include "drivers/nbd/exchange.h"

#include "drivers/nbd/connection.h"

#include <errno.h>

BgNbdConnection *bg_nbd_exchange_choose(BgNbdSession *s)
{
  BgNbdConnection *best = NULL;
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++) {
    BgNbdConnection *connection = &s->connections[i];
    if (connection->usable && (!best || connection->in_flight < best->in_flight))
      best = connection;
  }
  return best;
}

void bg_nbd_exchange_begin(BgNbdConnection *connection, BgNbdRequest *request)
{
  connection->in_flight++;
  connection->issuing++;
  request->connection = connection;
  g_queue_push_tail_link(&connection->session->under_way, &request->link);
}

static bool is_write(const BgNbdRequest *request)
{
  return request->command == BG_NBD_WRITE || request->command == BG_NBD_ZERO || request->command == BG_NBD_TRIM;
}

static void end(BgNbdConnection *connection, BgNbdRequest *request)
{
  BgNbdSession *s = connection->session;
  connection->in_flight--;
  g_queue_unlink(&s->under_way, &request->link);
  if (request->outcome == BG_NBD_ANSWERED) {
    s->heard_at = g_get_monotonic_time();
    s->answered = true;
  }
  if (request->outcome != BG_NBD_ANSWERED || request->error || !is_write(request))
    return;
  s->written++;
  if (request->kept)
    request->kept->acknowledged = true;
}

/* Under the lock. */
static void break_connection(BgNbdConnection *connection)
{
  connection->usable = false;
  bg_nbd_state_lose(connection->session);
}

/* Under the lock. */
static void issued(BgNbdConnection *connection)
{
  if (--connection->issuing == 0 && !connection->usable)
    pthread_cond_broadcast(&connection->session->changed);
}

/* What is handed to a broken connection is lost with it, whether libnbd took it or not. True: the caller drives the connection. */
static bool send_begun(BgNbdConnection *connection, BgNbdRequest *request)
{
  BgNbdSession *s = connection->session;
  int error = bg_nbd_request_send(request, connection->nbd);
  bool broken = nbd_aio_is_dead(connection->nbd) > 0 || nbd_aio_is_closed(connection->nbd) > 0;
  if (error && !broken)
    bg_nbd_request_answer(request, error);
  bool drives = bg_nbd_connection_sent(connection);
  pthread_mutex_lock(&s->lock);
  if (broken)
    break_connection(connection);
  issued(connection);
  pthread_mutex_unlock(&s->lock);
  return drives;
}

BgNbdOutcome bg_nbd_exchange(BgNbdConnection *connection, BgNbdRequest *request)
{
  BgNbdSession *s = connection->session;
  bool drives = send_begun(connection, request);
  BgNbdOutcome outcome = bg_nbd_connection_wait(connection, request, drives);
  pthread_mutex_lock(&s->lock);
  if (outcome == BG_NBD_LOST && request->error == ESHUTDOWN)
    break_connection(connection);
  end(connection, request);
  pthread_mutex_unlock(&s->lock);
  return outcome;
}
