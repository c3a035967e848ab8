/* Tasks that run one after the other, in the order in which they came, on threads that many such rows share: the opens, releases and
 * attribute changes of one file. */
#ifndef BGFS_SERIAL_H
#define BGFS_SERIAL_H

#include "fs/pool.h"

typedef struct BgfsSerial {
  BgfsTask drain; /* runs all that wait */
  pthread_mutex_t lock;
  GQueue waiting; /* BgfsTask * */
  bool running;
} BgfsSerial;

void bgfs_serial_init(BgfsSerial *serial);
/* Nothing may be waiting or running. */
void bgfs_serial_clear(BgfsSerial *serial);

/* Runs the task on a thread of the pool once those before it are done. Blocks only where bgfs_pool_submit() does. */
void bgfs_serial_submit(BgfsSerial *serial, BgfsPool *pool, BgfsTask *task);

#endif
