/* One connection, served by a thread of its own: commands one after the other, in the order in which they came. */
#ifndef BGFS_QMP_CLIENT_H
#define BGFS_QMP_CLIENT_H

#include "fs/qmp/dispatch.h"
#include "fs/qmp/output.h"

typedef struct BgfsQmpClient BgfsQmpClient;

/* Takes the connected socket. NULL: errno, and `fd` stays the caller's. */
BgfsQmpClient *bgfs_qmp_client_new(const BgfsQmpMount *mount, int fd);
/* Closes the connection. Nobody uses it any more. */
void bgfs_qmp_client_free(BgfsQmpClient *client);

/* Greets and serves until the other side has hung up (and got its answers), reads too little, or bgfs_qmp_client_stop(). */
void bgfs_qmp_client_serve(BgfsQmpClient *client);

/* ── any thread, beside it ── */

/* Sends an event, if the client has negotiated: after the answer that says so, and none that comes then is lost. Never waits. */
void bgfs_qmp_client_tell(BgfsQmpClient *client, const char *event);
/* Makes it end, once a command that is under way is done. */
void bgfs_qmp_client_stop(BgfsQmpClient *client);

#endif
