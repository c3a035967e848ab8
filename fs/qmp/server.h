/* The control socket of one mount: takes connections, and gives each a thread. */
#ifndef BGFS_QMP_SERVER_H
#define BGFS_QMP_SERVER_H

#include "fs/qmp/command.h"
#include "fs/qmp/socket.h"

#define BGFS_QMP_MAX_CLIENTS 128u

typedef struct BgfsQmpServer BgfsQmpServer;

/* Makes the socket. Who connects waits until bgfs_qmp_server_start(). NULL: one line that names the socket. */
BgfsQmpServer *bgfs_qmp_server_new(const char *path, GError **error);
/* Stopped, or never started. NULL is fine. */
void bgfs_qmp_server_free(BgfsQmpServer *server);

/* Begins to serve. `mount` is copied; what it names outlives bgfs_qmp_server_stop(). False: errno. */
bool bgfs_qmp_server_start(BgfsQmpServer *server, const BgfsQmpMount *mount);
/* Takes no more connections, lets commands that are under way end, and hangs up. Returns when all threads are gone. NULL, and what was
 * never started, are fine. */
void bgfs_qmp_server_stop(BgfsQmpServer *server);

/* Sends one event to all clients. Any thread; never waits. */
void bgfs_qmp_server_tell(BgfsQmpServer *server, const char *event);

#endif
