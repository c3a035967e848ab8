/* What the threads of a session share: its connections, the requests under way, and what happened so far.
 *
 * Locks: `lock`, then libnbd's of a handle, then that of a request. libnbd calls back with its own held, so nothing of
 * libnbd's is called under `lock`. */
#ifndef BG_NBD_STATE_H
#define BG_NBD_STATE_H

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
  bool broken;        /* (lock) nobody drives it any more */
  bool driven;        /* (lock) somebody waits for answers, or is appointed to */
  int64_t driven_at;  /* (lock) monotonic µs: when a caller last ceased to */
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

/* Down, and without connections. Takes nothing on error. */
BgNbdSession *bg_nbd_state_new(BgNbdTarget *target, BgHost *host, GError **error);
/* All threads have ended. The target stays the caller's. */
void bg_nbd_state_free(BgNbdSession *session);

/* Under the lock: the connection is broken. The keeper gives up all of them. */
void bg_nbd_state_lose(BgNbdSession *session);

#endif
