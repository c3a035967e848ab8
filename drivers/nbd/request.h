/* One request to the server, from its caller's wait to the server's answer. */
#ifndef BG_NBD_REQUEST_H
#define BG_NBD_REQUEST_H

#include <glib.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
  BG_NBD_READ,
  BG_NBD_WRITE,
  BG_NBD_ZERO,
  BG_NBD_TRIM,
  BG_NBD_FLUSH,
  BG_NBD_STATUS /* of base:allocation */
} BgNbdCommand;

typedef enum {
  BG_NBD_UNDER_WAY,
  BG_NBD_ANSWERED, /* by the server, with `error` */
  BG_NBD_LOST      /* with its connection: nobody knows whether it was done */
} BgNbdOutcome;

/* From one place on: a hole or data. */
typedef struct BgNbdExtent {
  uint64_t length;
  bool zero;
} BgNbdExtent;

typedef struct BgNbdRequest {
  BgNbdCommand command;
  uint64_t offset, length; /* bytes, fit for the server */
  void *buffer;            /* READ, WRITE */
  uint32_t flags;          /* libnbd's */
  GArray *extents;         /* STATUS: BgNbdExtent, appended to */

  struct BgNbdKept *kept; /* what a write is sent again from; NULL: not kept */
  GList link;             /* in the session's list of requests under way */

  struct BgNbdConnection *connection; /* that it is under way on */

  pthread_mutex_t lock; /* the innermost of all */
  pthread_cond_t ended;
  BgNbdOutcome outcome; /* under lock */
  bool appointed;       /* under lock: its caller shall drive the connection */
  int error;            /* an errno, or 0; of LOST: ESHUTDOWN where the server said so itself */
} BgNbdRequest;

void bg_nbd_request_init(BgNbdRequest *request, BgNbdCommand command, uint64_t offset, uint64_t length);
void bg_nbd_request_clear(BgNbdRequest *request);

/* Hands the request to libnbd, which answers from whichever thread drives the handle. 0, or a positive errno: nothing was sent, and no answer
 * comes. */
int bg_nbd_request_send(BgNbdRequest *request, struct nbd_handle *nbd);
/* It was not even sent. */
void bg_nbd_request_answer(BgNbdRequest *request, int error);
/* Until it has ended, or its caller is appointed to drive the connection: *appointed then, once. */
BgNbdOutcome bg_nbd_request_wait(BgNbdRequest *request, bool *appointed);
/* False: it has ended already. */
bool bg_nbd_request_appoint(BgNbdRequest *request);
BgNbdOutcome bg_nbd_request_outcome(BgNbdRequest *request);
/* The connection is closed: no answer comes any more. True if there was none yet. */
bool bg_nbd_request_lose(BgNbdRequest *request);
/* To be sent again. */
void bg_nbd_request_rewind(BgNbdRequest *request);

#endif
