/* What the server says of holes, as long as nothing was written since. */
#ifndef BG_NBD_STATUS_H
#define BG_NBD_STATUS_H

#include "drivers/nbd/session.h"

/* One answer of the server. Zeroed but for the lock is empty. */
typedef struct BgNbdStatus {
  pthread_mutex_t lock;
  atomic_uint_fast64_t changes; /* writes begun, and ended */
  uint64_t seen;                /* (lock) `changes` when the answer was asked for */
  int64_t until;                /* (lock) monotonic µs: others may write, too */
  uint64_t start;               /* (lock) */
  GArray *extents;              /* (lock) BgNbdExtent, from `start` on; NULL: none */
} BgNbdStatus;

void bg_nbd_status_init(BgNbdStatus *status);
void bg_nbd_status_clear(BgNbdStatus *status);

/* Before and after each write. */
static inline void bg_nbd_status_note_write(BgNbdStatus *status)
{
  atomic_fetch_add(&status->changes, 1);
}

/* The extent at `offset`, see BgDriver.map: at most one question to the server. 0 or -errno. */
int bg_nbd_status_map(BgNbdStatus *status, BgNbdSession *session, uint64_t offset, uint64_t length, BgExtent *extent);

#endif
