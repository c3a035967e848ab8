#ifndef NBD_CONNECT_H
#define NBD_CONNECT_H

#include "drivers/nbd/session.h"
#include "tests/drivers/nbdkit.h"

/* The grace in seconds. */
BgNbdSession *nbd_server_connect(NbdServer *server, uint64_t reconnect_delay);

/* A server, and a session with it. */
typedef struct NbdPair {
  NbdServer server;
  BgNbdSession *s;
} NbdPair;

/* nbdkit with `arguments` and a file of that size; skips the test where it is not installed. */
void nbd_pair_init(NbdPair *pair, uint64_t file_size, const char *arguments, uint64_t reconnect_delay);
void nbd_pair_clear(NbdPair *pair);

/* Reads until it succeeds, for 10 s at most: the result of the last read. */
int nbd_read_until_back(BgNbdSession *s);

#endif
