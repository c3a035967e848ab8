/* One request over one connection, which may be lost on the way. */
#ifndef BG_NBD_EXCHANGE_H
#define BG_NBD_EXCHANGE_H

#include "drivers/nbd/state.h"

/* Under the lock: the usable connection with the least to do; NULL: there is none. */
BgNbdConnection *bg_nbd_exchange_choose(BgNbdSession *session);
/* Under the lock: the request is under way from now on, and so the connection stays; bg_nbd_exchange() follows. */
void bg_nbd_exchange_begin(BgNbdConnection *connection, BgNbdRequest *request);
/* Sends what was begun and waits for its end. Not under the lock. */
BgNbdOutcome bg_nbd_exchange(BgNbdConnection *connection, BgNbdRequest *request);

#endif
