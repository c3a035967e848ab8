/* Changes of mode, which only the server's word stands against, and reopening, which takes a session of its own. */
#include "drivers/nbd/nbd.h"

#include "drivers/error.h"

#include <errno.h>

typedef struct Pending {
  bool writable;
  const BgNbdOptions *options; /* NULL: they stay */
  BgNbdSession *session;       /* NULL: it stays */
} Pending;

/* ── would it work ── */

/* Under the session's lock. Between connections the last word counts, as long as requests wait. */
static bool may_write(const BgNbdSession *s, GError **error)
{
  bool reachable = s->state == BG_NBD_UP || (s->state == BG_NBD_DOWN && g_get_monotonic_time() < s->grace_until);
  if (s->state == BG_NBD_FAILED)
    bg_set_error(error, EIO, "%s", s->failure);
  else if (!reachable)
    bg_set_error(error, EIO, "%s", s->failure ? s->failure : "the NBD server cannot be reached");
  else if (s->facts.read_only)
    bg_set_error(error, EROFS, "NBD server '%s' exports it read-only", s->target->uri);
  else
    return true;
  return false;
}

static bool session_may_write(BgNbdSession *s, GError **error)
{
  pthread_mutex_lock(&s->lock);
  bool may = may_write(s, error);
  pthread_mutex_unlock(&s->lock);
  return may;
}

bool bg_nbd_can_change(void *instance, const BgMode *mode, GError **error)
{
  BgNbd *nbd = instance;
  if (!mode->writable)
    return true;
  pthread_mutex_lock(&nbd->lock);
  bool may = session_may_write(nbd->session, error);
  pthread_mutex_unlock(&nbd->lock);
  return may;
}

/* ── the four steps ── */

static void pending_free(Pending *pending)
{
  bg_nbd_session_free(pending->session);
  g_free(pending);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pending, pending_free)

static BgNbdSession *connect_anew(BgNbd *nbd, const BgNbdOptions *options, GError **error)
{
  g_autoptr(BgNbdTarget) target = bg_nbd_target_new(options, error);
  BgNbdSession *session = target ? bg_nbd_session_new(target, nbd->host, error) : NULL;
  if (session)
    g_steal_pointer(&target);
  return session;
}

bool bg_nbd_change_open(void *instance, const BgMode *mode, const void *options, void **pending_out, GError **error)
{
  BgNbd *nbd = instance;
  g_autoptr(Pending) pending = g_new0(Pending, 1);
  pending->writable = mode->writable;
  if (options != nbd->options) {
    pending->options = options;
    pending->session = connect_anew(nbd, options, error);
    if (!pending->session)
      return false;
  }
  BgNbdSession *session = pending->session ? pending->session : nbd->session;
  bool up = mode->writable && (pending->session || !nbd->writable);
  if (up && !session_may_write(session, error))
    return false;
  *pending_out = g_steal_pointer(&pending);
  return true;
}

/* What the old session's server has acknowledged but will not flush any more is written anew. */
static int hand_down(BgNbdSession *old, BgNbdSession *new)
{
  if (bg_nbd_session_flush(old) == 0)
    return 0;
  int result = 0;
  for (BgNbdKept *kept = bg_nbd_unstable_next(&old->unstable, NULL); kept && result == 0;
       kept = bg_nbd_unstable_next(&old->unstable, kept)) {
    struct iovec iov = {kept->data, kept->length};
    result = kept->zero ? bg_nbd_session_zero(new, kept->offset, kept->length, kept->flags)
                        : bg_nbd_session_write(new, &iov, 1, kept->offset);
  }
  return result;
}

bool bg_nbd_change_settle(void *instance, void *pending_in, GError **error)
{
  BgNbd *nbd = instance;
  Pending *pending = pending_in;
  int result = pending->session && nbd->writable ? hand_down(nbd->session, pending->session) : 0;
  if (result)
    bg_set_error_errno(error, -result, "what was written cannot be handed to NBD server '%s' again", nbd->uri);
  return result == 0;
}

static void replace_session(BgNbd *nbd, Pending *pending)
{
  BgNbdSession *new = g_steal_pointer(&pending->session);
  __atomic_store_n(&nbd->size, bg_nbd_session_facts(new).size, __ATOMIC_RELAXED);
  pthread_mutex_lock(&nbd->lock);
  pending->session = nbd->session; /* goes with what is pending */
  nbd->session = new;
  pthread_mutex_unlock(&nbd->lock);
  bg_nbd_status_note_write(&nbd->status);
}

void bg_nbd_change_commit(void *instance, void *pending_in)
{
  BgNbd *nbd = instance;
  g_autoptr(Pending) pending = pending_in;
  if (pending->session)
    replace_session(nbd, pending);
  if (pending->options)
    nbd->options = pending->options;
  nbd->writable = pending->writable;
  pthread_mutex_lock(&nbd->session->lock);
  nbd->session->writable = pending->writable;
  pthread_mutex_unlock(&nbd->session->lock);
}

void bg_nbd_change_abort(void *instance, void *pending)
{
  (void)instance;
  pending_free(pending);
}
