/* A real server for tests: an nbdkit of their own on a socket of its own. */
#ifndef NBDKIT_H
#define NBDKIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct NbdServer {
  char *uri;
  char *directory, *socket, *file; /* `file`: in the directory, for the plugin file; made by nbd_server_init() */
  GPid pid;                        /* 0: it does not run */
} NbdServer;

bool nbd_server_installed(void);

/* Skips the test where nbdkit is not installed. */
void nbd_server_init(NbdServer *server, uint64_t file_size);
void nbd_server_clear(NbdServer *server);

/* `nbdkit ARGUMENT…` on the socket, in the words of a shell; "$FILE" is the file. Returns when it listens. */
void nbd_server_start(NbdServer *server, const char *arguments);
/* SIGSTOP: returns when it answers nothing any more. */
void nbd_server_hang(NbdServer *server);
/* kill -9. */
void nbd_server_kill(NbdServer *server);
void nbd_server_restart(NbdServer *server, const char *arguments);

#endif
