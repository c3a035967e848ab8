/* One connection up to the point where it takes requests, and what the server said of the export on the way. */
#ifndef BG_NBD_HANDSHAKE_H
#define BG_NBD_HANDSHAKE_H

#include "drivers/nbd/target.h"

#include <libnbd.h>

typedef struct BgNbdFacts {
  uint64_t size;
  uint32_t minimum, preferred, maximum; /* bytes of a request; never 0 */
  bool read_only;
  bool flush, trim, zero, fast_zero;
  bool multi_conn;
  bool allocation; /* tells of holes */
} BgNbdFacts;

/* Connects and negotiates until the monotonic time `deadline` (µs) or until `wake_fd` (an eventfd, left as it is) is readable
 * (ECANCELED). NULL and one line with the server's name on error. */
struct nbd_handle *bg_nbd_handshake(const BgNbdTarget *target, int wake_fd, int64_t deadline, BgNbdFacts *facts,
                                    GError **error);

/* One step of the handle's protocol: waits at most `timeout` ms (-1: for ever) for its socket or for `wake_fd`, does what can be done. False:
 * the connection is at its end. */
bool bg_nbd_pump(struct nbd_handle *nbd, int wake_fd, int timeout);

#endif
