/* A session with a server: one connection, or several where the server allows it, kept up by a thread of its own (keeper.c), and the
 * requests of any number of threads over them.
 *
 * The connections are one: when any of them breaks all are given up, and whatever had no answer is sent again over new ones, after the
 * writes that the server may have forgotten. Within the grace (reconnect-delay) of such an outage requests wait; then they fail, and
 * go on to do so until the server is back, for which the keeper tries for ever.
 *
 * Locks: `lock`, then libnbd's of a handle, then that of a request. libnbd calls back with its own held, so nothing of
 * libnbd's is called under `lock`. */
#ifndef BG_NBD_SESSION_H
#define BG_NBD_SESSION_H

#include "drivers/driver.h"
#include "drivers/nbd/handshake.h"
#include "drivers/nbd/request.h"
#include "drivers/nbd/unstable.h"

#include <stdatomic.h>

#define BG_NBD_CONNECTIONS 4

typedef struct BgNbdConnection {
  struct BgNbdSession *session;
  struct nbd_handle *nbd; /* NULL: not connected */
  int wake_fd;            /* an eventfd: look at the handle, and at `over`, anew */
  atomic_bool over;       /* the thread shall end */
  bool started;           /* the keeper's: there is a thread to join */
  pthread_t thread;
  bool usable;        /* (lock) */
  unsigned issuing;   /* (lock) threads that are handing libnbd a request */
  unsigned in_flight; /* (lock) */
} BgNbdConnection;

typedef enum {
  BG_NBD_DOWN,   /* between connections */
  BG_NBD_UP,     /* requests are taken */
  BG_NBD_FAILED, /* for good: `failure` says why */
} BgNbdState;

typedef struct BgNbdSession {
  BgNbdTarget *target; /* owned */
  BgHost *host;        /* NULL: nobody to tell */
  int wake_fd;         /* an eventfd: the keeper shall give up connecting */
  uint32_t maximum;    /* bytes of a request; for good */
  pthread_t keeper;

  pthread_mutex_t lock;
  pthread_cond_t changed; /* state, lost, stop, trimming, issuing */
  /* (lock) */
  BgNbdState state;
  bool stop, lost;
  bool abandoned;      /* this outage has no grace */
  bool writable;       /* the node is: the server must not turn read-only */
  int64_t grace_until; /* monotonic µs; while DOWN */
  int64_t up_since;    /* monotonic µs; while UP, and after it */
  bool answered;       /* the server has answered a request since then */
  uint64_t reconnect_delay;
  char *failure; /* FAILED, else of the last attempt to connect; NULL: none */
  unsigned outages;
  BgNbdFacts facts;
  BgNbdConnection connections[BG_NBD_CONNECTIONS];
  GQueue under_way;       /* BgNbdRequest */
  BgNbdRequest *replayed; /* the keeper's own, over the first connection; NULL: none */
  unsigned waiting;       /* callers inside */
  int64_t heard_at;       /* monotonic µs: the last answer, or since when somebody waits */
  bool trimming;          /* a writer flushes because too much is kept */
  BgNbdUnstable unstable;
  uint64_t written, flushed; /* counts of acknowledged writes; all up to `flushed` are durable */
  int flush_error;           /* what was acknowledged may be gone */
} BgNbdSession;

/* Connects, as often as open-timeout allows. Takes nothing on error. */
BgNbdSession *bg_nbd_session_new(BgNbdTarget *target, BgHost *host, GError **error);
/* Takes leave of the server if it listens; ends within a second. No call may be under way. NULL is fine. */
void bg_nbd_session_free(BgNbdSession *session);

/* Any thread, 0 or -errno. `extents`: of STATUS. */
int bg_nbd_session_read(BgNbdSession *session, void *buffer, uint64_t length, uint64_t offset);
int bg_nbd_session_write(BgNbdSession *session, const struct iovec *iov, int iovcnt, uint64_t offset);
int bg_nbd_session_zero(BgNbdSession *session, uint64_t offset, uint64_t length, uint32_t flags);
int bg_nbd_session_trim(BgNbdSession *session, uint64_t offset, uint64_t length);
int bg_nbd_session_flush(BgNbdSession *session);
int bg_nbd_session_status(BgNbdSession *session, uint64_t offset, uint64_t length, GArray *extents);

/* If the server was silent for `silence` ms while somebody waited: whoever waits gets an error now, the connections are given up, and this
 * outage has no grace. True if so. */
bool bg_nbd_session_abandon(BgNbdSession *session, unsigned silence);

/* A copy of what the server said last. */
BgNbdFacts bg_nbd_session_facts(BgNbdSession *session);

/* session.c, for keeper.c: one request over one connection, which may be lost on the way. Neither under the lock. */
BgNbdOutcome bg_nbd_session_run_on(BgNbdSession *session, BgNbdConnection *connection, BgNbdRequest *request);

/* connection.c */

/* Serves connection->nbd in a thread until the connection breaks, which it tells the session, or is to be over. False: no thread. */
bool bg_nbd_connection_start(BgNbdConnection *connection);
/* The same, but connects first; what the server says of the export must be what it said before. */
bool bg_nbd_connection_start_another(BgNbdConnection *connection);
/* Ends the thread and closes the handle. Not under the lock. */
void bg_nbd_connection_stop(BgNbdConnection *connection, bool politely);
/* After a request was handed over: libnbd could not send all of it. */
void bg_nbd_connection_kick(BgNbdConnection *connection);

/* keeper.c */
void *bg_nbd_keep(void *session);
/* Starts the first connection on a handle that is connected. False: no thread. */
bool bg_nbd_bring_up(BgNbdSession *session, struct nbd_handle *nbd, const BgNbdFacts *facts);

#endif
