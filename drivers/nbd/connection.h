/* One connection of a session: who drives it, that is, waits for the server's answers and takes them.
 *
 * Whoever waits for an answer does so himself, for all that have requests under way on the connection, and passes it on to one of them when he has his
 * own: a thread less to wake for each request. While nobody waits a thread of the connection's own drives, to learn that it broke. */
#ifndef BG_NBD_CONNECTION_H
#define BG_NBD_CONNECTION_H

#include "drivers/nbd/state.h"

/* Serves connection->nbd until it breaks, which the session is told, or is to be over. False: no thread. */
bool bg_nbd_connection_start(BgNbdConnection *connection);
/* The same, but connects first; what the server says of the export must be what it said before. */
bool bg_nbd_connection_start_another(BgNbdConnection *connection);
/* Ends the thread and closes the handle. `politely`: takes leave of the server before; false: that does not listen. Not under the lock. */
bool bg_nbd_connection_stop(BgNbdConnection *connection, bool politely);

/* A request was handed to libnbd: the caller drives the connection from now on (true: bg_nbd_connection_wait() follows), or whoever does already looks at the
 * handle anew, for not all may be sent. Not under the lock; the handle is kept open, by `issuing`. */
bool bg_nbd_connection_sent(BgNbdConnection *connection);
/* Waits for the end of the request; drives the connection where that is the caller's (`mine`) or becomes so. Not under the lock. */
BgNbdOutcome bg_nbd_connection_wait(BgNbdConnection *connection, BgNbdRequest *request, bool mine);

#endif
