/* The parts of the driver `nbd`. Nothing outside drivers/nbd/ includes this. */
#ifndef BG_NBD_H
#define BG_NBD_H

#include "drivers/nbd/session.h"
#include "drivers/nbd/status.h"

#include <sys/stat.h>

typedef struct BgNbd {
  BgHost *host;
  const BgNbdOptions *options; /* the core's; of control calls only */
  char *uri;
  uint64_t size; /* atomic */
  BgNbdStatus status;

  /* Data calls use it as it is: it is replaced only while none is under way. Others, and who replaces it, hold the lock. */
  pthread_mutex_t lock;
  BgNbdSession *session;
  bool writable;    /* of control calls only */
  struct stat seen; /* who could connect himself, when it was opened */
} BgNbd;

/* change.c */
bool bg_nbd_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error);
bool bg_nbd_change_settle(void *instance, void *pending, GError **error);
void bg_nbd_change_commit(void *instance, void *pending);
void bg_nbd_change_abort(void *instance, void *pending);
bool bg_nbd_can_change(void *instance, const BgMode *mode, GError **error);

#endif
