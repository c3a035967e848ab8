/* "silent": a protocol for tests, whose requests wait for somebody who does not answer, until they are abandoned. */
#ifndef BG_TEST_FAKE_SILENT_H
#define BG_TEST_FAKE_SILENT_H

#include "graph/user.h"

#include <pthread.h>

extern const BgDriver bg_driver_silent;

/* A read in a thread of its own. */
typedef struct SilentRead {
  BgUser *user;
  pthread_t thread;
  _Atomic bool ended;
  ssize_t result;
} SilentRead;

/* Returns when the read waits; `count` are under way then, of all nodes. */
void silent_read_start(SilentRead *read, BgUser *user, unsigned count);
/* Waits for its end; the result. */
ssize_t silent_read_end(SilentRead *read);

#endif
