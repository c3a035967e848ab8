/* Sessions with the tests' server. */
#ifndef NBD_CONNECT_H
#define NBD_CONNECT_H

#include "drivers/nbd/nbd.h"
#include "tests/drivers/nbdkit.h"

/* The grace in seconds. */
BgNbdSession *nbd_server_connect(NbdServer *server, uint64_t reconnect_delay);

#endif
