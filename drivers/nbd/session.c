#include "drivers/nbd/session.h"

#include "drivers/clock.h"
#include "drivers/error.h"
#include "drivers/iov.h"
#include "drivers/nbd/exchange.h"
#include "drivers/nbd/keeper.h"

#include <errno.h>

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

/* ── one request ── */

/* Once; -EAGAIN: the connection broke meanwhile. */
static int attempt(BgNbdSession *s, BgNbdRequest *request)
{
  pthread_mutex_lock(&s->lock);
  int result = wait_until_up(s);
  BgNbdConnection *connection = result == 0 ? bg_nbd_exchange_choose(s) : NULL;
  if (connection)
    bg_nbd_exchange_begin(connection, request);
  else if (result == 0) /* broken, and its thread has not said so yet */
    result = -EAGAIN;
  pthread_mutex_unlock(&s->lock);
  if (result)
    return result;
  return bg_nbd_exchange(connection, request) == BG_NBD_ANSWERED ? -request->error : -EAGAIN;
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
    bg_nbd_state_lose(s);
  }
  pthread_mutex_unlock(&s->lock);
  return waits;
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

BgNbdSession *bg_nbd_session_new(BgNbdTarget *target, BgHost *host, GError **error)
{
  BgNbdSession *s = bg_nbd_state_new(target, host, error);
  if (!s)
    return NULL;
  BgNbdFacts facts;
  struct nbd_handle *nbd = connect_first(s, &facts, error);
  if (nbd && bg_nbd_keeper_start(s, nbd, &facts, error))
    return s;
  bg_nbd_state_free(s);
  return NULL;
}

void bg_nbd_session_free(BgNbdSession *s)
{
  if (!s)
    return;
  bg_nbd_keeper_stop(s);
  bg_nbd_target_free(s->target);
  bg_nbd_state_free(s);
}
