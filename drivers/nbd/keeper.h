/* The thread that keeps a session up: notices that a connection broke, gives up all of them, connects anew, sends again what the server
 * may have forgotten, and only then lets requests go on. */
#ifndef BG_NBD_KEEPER_H
#define BG_NBD_KEEPER_H

#include "drivers/nbd/state.h"

/* Brings the session up on a handle that is connected, and keeps it up. Not under the lock. False: no thread; the handle is closed. */
bool bg_nbd_keeper_start(BgNbdSession *session, struct nbd_handle *nbd, const BgNbdFacts *facts, GError **error);
/* Ends the session and its connections, politely where the server listens. */
void bg_nbd_keeper_stop(BgNbdSession *session);

#endif
