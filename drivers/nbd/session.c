#include "drivers/nbd/session.h"

#include "drivers/clock.h"
#include "drivers/error.h"
#include "drivers/iov.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Of one attempt, the answer to a request for a connection and the negotiation included. */
#define CONNECT_TIMEOUT (10 * G_USEC_PER_SEC)
#define CONNECT_PAUSE   (G_USEC_PER_SEC / 5)

/* How often a request is sent: one that makes its server die does so only so often. */
#define ATTEMPTS 64

/* What is kept of writes that are not flushed: at half of it a writer flushes. */
#define KEPT_MAX ((uint64_t)64 << 20)

/* ── waiting for a connection ── */

/* Under the lock: until requests are taken. 0 or -EIO. */
static int wait_until_up(BgNbdSession *s)
{
  while (s->state != BG_NBD_UP || s->lost) {
    bool grace = !s->abandoned && (s->lost || g_get_monotonic_time() < s->grace_until);
    if (s->state == BG_NBD_FAILED || s->stop || !grace)
      return -EIO;
    struct timespec until = bg_clock_at(s->grace_until);
    if (s->lost)
      pthread_cond_wait(&s->changed, &s->lock);
    else
      pthread_cond_timedwait(&s->changed, &s->lock, &until);
  }
  return 0;
}

/* Under the lock: the one with the least to do. */
static BgNbdConnection *choose(BgNbdSession *s)
{
  BgNbdConnection *best = NULL;
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++) {
    BgNbdConnection *connection = &s->connections[i];
    if (connection->usable && (!best || connection->in_flight < best->in_flight))
      best = connection;
  }
  return best;
}

/* ── one request ── */

static void begin_on(BgNbdSession *s, BgNbdConnection *connection, BgNbdRequest *request)
{
  connection->in_flight++;
  connection->issuing++;
  g_queue_push_tail_link(&s->under_way, &request->link);
}

static void issued(BgNbdSession *s, BgNbdConnection *connection)
{
  if (--connection->issuing == 0 && !connection->usable)
    pthread_cond_broadcast(&s->changed);
}

static bool is_write(const BgNbdRequest *request)
{
  return request->command == BG_NBD_WRITE || request->command == BG_NBD_ZERO || request->command == BG_NBD_TRIM;
}

static void end_on(BgNbdSession *s, BgNbdConnection *connection, BgNbdRequest *request)
{
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
static void break_connection(BgNbdSession *s, BgNbdConnection *connection)
{
  connection->usable = false;
  s->lost = true;
  pthread_cond_broadcast(&s->changed);
}

/* The lock is not held, but the request is in the list. What is handed to a broken connection is lost with it, whether libnbd took it or not. */
static void send_over(BgNbdSession *s, BgNbdConnection *connection, BgNbdRequest *request)
{
  int error = bg_nbd_request_send(request, connection->nbd);
  bool broken = nbd_aio_is_dead(connection->nbd) > 0 || nbd_aio_is_closed(connection->nbd) > 0;
  if (error && !broken)
    bg_nbd_request_answer(request, error);
  else if (!broken)
    bg_nbd_connection_kick(connection);
  pthread_mutex_lock(&s->lock);
  if (broken)
    break_connection(s, connection);
  issued(s, connection);
  pthread_mutex_unlock(&s->lock);
}

static BgNbdOutcome run_begun(BgNbdSession *s, BgNbdConnection *connection, BgNbdRequest *request)
{
  send_over(s, connection, request);
  BgNbdOutcome outcome = bg_nbd_request_wait(request);
  pthread_mutex_lock(&s->lock);
  if (outcome == BG_NBD_LOST && request->error == ESHUTDOWN)
    break_connection(s, connection);
  end_on(s, connection, request);
  pthread_mutex_unlock(&s->lock);
  return outcome;
}

BgNbdOutcome bg_nbd_session_run_on(BgNbdSession *s, BgNbdConnection *connection, BgNbdRequest *request)
{
  pthread_mutex_lock(&s->lock);
  begin_on(s, connection, request);
  pthread_mutex_unlock(&s->lock);
  return run_begun(s, connection, request);
}

/* Once; -EAGAIN: the connection broke meanwhile. */
static int attempt(BgNbdSession *s, BgNbdRequest *request)
{
  pthread_mutex_lock(&s->lock);
  int result = wait_until_up(s);
  BgNbdConnection *connection = result == 0 ? choose(s) : NULL;
  if (connection)
    begin_on(s, connection, request);
  else if (result == 0) /* broken, and its thread has not said so yet */
    result = -EAGAIN;
  pthread_mutex_unlock(&s->lock);
  if (result)
    return result;
  return run_begun(s, connection, request) == BG_NBD_ANSWERED ? -request->error : -EAGAIN;
}

static int run_request(BgNbdSession *s, BgNbdRequest *request)
{
  int result = -EAGAIN;
  for (int i = 0; i < ATTEMPTS && result == -EAGAIN; i++) {
    if (i > 0)
      bg_nbd_request_rewind(request);
    result = attempt(s, request);
  }
  return result == -EAGAIN ? -EIO : result;
}

static int run(BgNbdSession *s, BgNbdRequest *request)
{
  pthread_mutex_lock(&s->lock);
  if (s->waiting++ == 0)
    s->heard_at = g_get_monotonic_time();
  pthread_mutex_unlock(&s->lock);
  int result = run_request(s, request);
  pthread_mutex_lock(&s->lock);
  s->waiting--;
  pthread_mutex_unlock(&s->lock);
  return result;
}

/* ── reading ── */

int bg_nbd_session_read(BgNbdSession *s, void *buffer, uint64_t length, uint64_t offset)
{
  int result = 0;
  for (uint64_t done = 0; done < length && result == 0;) {
    BgNbdRequest request;
    bg_nbd_request_init(&request, BG_NBD_READ, offset + done, MIN(length - done, s->maximum));
    request.buffer = (char *)buffer + done;
    result = run(s, &request);
    done += request.length;
    bg_nbd_request_clear(&request);
  }
  return result;
}

int bg_nbd_session_status(BgNbdSession *s, uint64_t offset, uint64_t length, GArray *extents)
{
  BgNbdRequest request;
  bg_nbd_request_init(&request, BG_NBD_STATUS, offset, length);
  request.extents = extents;
  int result = run(s, &request);
  bg_nbd_request_clear(&request);
  return result;
}

/* ── flushing ── */

static int flush_error(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  int error = s->flush_error;
  pthread_mutex_unlock(&s->lock);
  return -error;
}

/* What the server answers counts for good: it may have dropped what it could not write. That no answer came does not: what was acknowledged
 * is kept, or its loss was noted with the connection. */
int bg_nbd_session_flush(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  bool needless = s->facts.flush == false && s->flush_error == 0;
  uint64_t written = s->written;
  uint64_t number = bg_nbd_unstable_flush_begin(&s->unstable);
  pthread_mutex_unlock(&s->lock);
  if (needless || flush_error(s))
    return flush_error(s);

  BgNbdRequest request;
  bg_nbd_request_init(&request, BG_NBD_FLUSH, 0, 0);
  int result = run(s, &request);
  bool refused = result && request.outcome == BG_NBD_ANSWERED;
  bg_nbd_request_clear(&request);

  pthread_mutex_lock(&s->lock);
  bg_nbd_unstable_flush_end(&s->unstable, number, result == 0);
  if (result == 0)
    s->flushed = MAX(s->flushed, written);
  else if (refused)
    s->flush_error = -result;
  if (s->flush_error)
    result = -s->flush_error;
  pthread_mutex_unlock(&s->lock);
  return result;
}

/* ── writing ── */

/* Under the lock: whether writes are kept to be sent again. Not where nothing says when they are durable. */
static bool keeps(const BgNbdSession *s)
{
  return s->reconnect_delay > 0 && s->facts.flush && s->flush_error == 0;
}

/* So that what is kept stays bounded. */
static void make_room(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  bool trims = s->unstable.bytes > KEPT_MAX / 2 && !s->trimming && s->flush_error == 0;
  if (trims)
    s->trimming = true;
  while (!trims && s->trimming && s->unstable.bytes > KEPT_MAX)
    pthread_cond_wait(&s->changed, &s->lock);
  pthread_mutex_unlock(&s->lock);
  if (!trims)
    return;
  bg_nbd_session_flush(s); /* a failure stays for whoever asks for a flush */
  pthread_mutex_lock(&s->lock);
  s->trimming = false;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

static void keep(BgNbdSession *s, BgNbdRequest *request, BgNbdKept *kept)
{
  pthread_mutex_lock(&s->lock);
  request->kept = kept;
  bg_nbd_unstable_add(&s->unstable, kept);
  pthread_mutex_unlock(&s->lock);
}

static bool wants_kept(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  bool wanted = keeps(s);
  pthread_mutex_unlock(&s->lock);
  return wanted;
}

static int run_kept(BgNbdSession *s, BgNbdRequest *request, BgNbdKept *kept)
{
  make_room(s);
  keep(s, request, kept);
  int result = run(s, request);
  if (result == 0)
    return 0;
  pthread_mutex_lock(&s->lock);
  bg_nbd_unstable_remove(&s->unstable, kept);
  pthread_mutex_unlock(&s->lock);
  return result;
}

static int write_piece(BgNbdSession *s, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length)
{
  BgNbdRequest request;
  bg_nbd_request_init(&request, BG_NBD_WRITE, offset, length);
  bool kept = wants_kept(s);
  BgNbdKept *copy = kept || iovcnt > 1 ? bg_nbd_kept_new(iov, iovcnt, offset, length, 0) : NULL;
  request.buffer = copy ? copy->data : iov->iov_base;
  int result = kept ? run_kept(s, &request, copy) : run(s, &request);
  if (!kept)
    g_free(copy);
  bg_nbd_request_clear(&request);
  return result;
}

int bg_nbd_session_write(BgNbdSession *s, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  uint64_t length = bg_iov_length(iov, iovcnt);
  int result = 0;
  for (uint64_t done = 0; done < length && result == 0;) {
    struct iovec part[BG_IOV_MAX];
    uint64_t piece = MIN(length - done, s->maximum);
    int count = bg_iov_slice(iov, iovcnt, done, piece, part);
    result = write_piece(s, part, count, offset + done, piece);
    done += piece;
  }
  return result;
}

int bg_nbd_session_zero(BgNbdSession *s, uint64_t offset, uint64_t length, uint32_t flags)
{
  BgNbdRequest request;
  bg_nbd_request_init(&request, BG_NBD_ZERO, offset, length);
  request.flags = flags;
  int result =
      wants_kept(s) ? run_kept(s, &request, bg_nbd_kept_new(NULL, 0, offset, length, flags)) : run(s, &request);
  bg_nbd_request_clear(&request);
  return result;
}

int bg_nbd_session_trim(BgNbdSession *s, uint64_t offset, uint64_t length)
{
  BgNbdRequest request;
  bg_nbd_request_init(&request, BG_NBD_TRIM, offset, length);
  int result = run(s, &request);
  bg_nbd_request_clear(&request);
  return result;
}

/* ── the whole ── */

BgNbdFacts bg_nbd_session_facts(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  BgNbdFacts facts = s->facts;
  pthread_mutex_unlock(&s->lock);
  return facts;
}

bool bg_nbd_session_abandon(BgNbdSession *s, unsigned silence)
{
  pthread_mutex_lock(&s->lock);
  bool waits = s->waiting > 0 && g_get_monotonic_time() - s->heard_at >= (int64_t)silence * 1000;
  if (waits) {
    s->abandoned = true;
    s->lost = true;
    pthread_cond_broadcast(&s->changed);
  }
  pthread_mutex_unlock(&s->lock);
  return waits;
}

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

static void session_release(BgNbdSession *s)
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

static struct nbd_handle *connect_first(BgNbdSession *s, BgNbdFacts *facts, GError **error)
{
  int64_t until = g_get_monotonic_time() + (int64_t)s->target->open_timeout * G_USEC_PER_SEC;
  for (;;) {
    g_autoptr(GError) failure = NULL;
    int64_t now = g_get_monotonic_time();
    struct nbd_handle *nbd = bg_nbd_handshake(s->target, s->wake_fd, now + CONNECT_TIMEOUT, facts, &failure);
    if (nbd)
      return nbd;
    if (g_get_monotonic_time() + CONNECT_PAUSE >= until) {
      g_propagate_error(error, g_steal_pointer(&failure));
      return NULL;
    }
    g_usleep(CONNECT_PAUSE);
  }
}

static bool start(BgNbdSession *s, struct nbd_handle *nbd, const BgNbdFacts *facts, GError **error)
{
  int rc = bg_nbd_bring_up(s, nbd, facts) ? pthread_create(&s->keeper, NULL, bg_nbd_keep, s) : EAGAIN;
  if (rc == 0)
    return true;
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++)
    bg_nbd_connection_stop(&s->connections[i], false);
  bg_set_error_errno(error, rc, "cannot start a thread");
  return false;
}

BgNbdSession *bg_nbd_session_new(BgNbdTarget *target, BgHost *host, GError **error)
{
  BgNbdSession *s = session_alloc(target, host);
  BgNbdFacts facts;
  struct nbd_handle *nbd = has_descriptors(s, error) ? connect_first(s, &facts, error) : NULL;
  if (nbd && start(s, nbd, &facts, error))
    return s;
  session_release(s);
  return NULL;
}

void bg_nbd_session_free(BgNbdSession *s)
{
  if (!s)
    return;
  pthread_mutex_lock(&s->lock);
  s->stop = true;
  if (s->replayed)
    atomic_store(&s->connections[0].over, true);
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
  eventfd_write(s->connections[0].wake_fd, 1);
  eventfd_write(s->wake_fd, 1);
  pthread_join(s->keeper, NULL);
  bg_nbd_target_free(s->target);
  session_release(s);
}
