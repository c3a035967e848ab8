/* One connection of a session, and the thread that takes the server's answers. */
#ifndef BG_NBD_CONNECTION_H
#define BG_NBD_CONNECTION_H

#include "drivers/nbd/state.h"

/* Serves connection->nbd in a thread until the connection breaks, which it tells the session, or is to be over. False: no thread. */
bool bg_nbd_connection_start(BgNbdConnection *connection);
/* The same, but connects first; what the server says of the export must be what it said before. */
bool bg_nbd_connection_start_another(BgNbdConnection *connection);
/* Ends the thread and closes the handle. Not under the lock. */
void bg_nbd_connection_stop(BgNbdConnection *connection, bool politely);
/* After a request was handed over: libnbd could not send all of it. */
void bg_nbd_connection_kick(BgNbdConnection *connection);

#endif
