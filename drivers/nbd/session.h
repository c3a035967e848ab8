/* A session with a server: one connection, or several where the server allows it, kept up by a thread of its own (keeper.h), and the
 * requests of any number of threads over them.
 *
 * The connections are one: when any of them breaks all are given up, and whatever had no answer is sent again over new ones, after the
 * writes that the server may have forgotten. Within the grace (reconnect-delay) of such an outage requests wait; then they fail, and
 * go on to do so until the server is back, for which the keeper tries for ever. */
#ifndef BG_NBD_SESSION_H
#define BG_NBD_SESSION_H

#include "drivers/nbd/state.h"

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

#endif
