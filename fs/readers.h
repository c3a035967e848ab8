/* Which of FUSE's threads wait for the next request, and which are parked.
 *
 * The kernel wakes a sleeping thread for every request that comes, though the thread that has just answered the last one would take
 * it sooner: the two then fight for it, and for the processor of whoever asked. So while requests are quick, only one thread waits and
 * answers them itself. Others are called, who was parked last first,
 *  - for each request that is not quick, and all stay while such requests come;
 *  - for requests that are there already when the last one is taken: where answers take their time as many as come, else as many as the processors
 *    bear beside those who ask;
 *  - by whoever is about to wait for something, with bgfs_readers_call();
 *  - at the latest when all are at the same requests for longer than BGFS_READERS_WATCH_MS: one of the parked threads watches. */
#ifndef BGFS_READERS_H
#define BGFS_READERS_H

#include "fs/busy-poll.h"

#include <pthread.h>

/* Nobody waits for longer than twice this for a thread to take his request, while there are threads. */
#define BGFS_READERS_WATCH_MS 1

typedef struct BgfsReaders BgfsReaders;

/* A thread that is parked. */
typedef struct BgfsParked {
  struct BgfsParked *below;
  BgfsReaders *readers;
  pthread_cond_t wake;
  bool called; /* is to come, and in the stack no more */
} BgfsParked;

struct BgfsReaders {
  BgfsBusyPoll busy_poll;
  unsigned processors;
  atomic_uint waiting;   /* threads that wait for a request */
  atomic_uint active;    /* threads that are not parked, or called already */
  atomic_uint taken;     /* requests so far; wraps */
  atomic_uint pressure;  /* how many were there already of late, when a thread came back */
  atomic_uint long_ones; /* how many of late were not quick */
  atomic_uint slowness;  /* how many took their time of late */
  pthread_mutex_t lock;
  BgfsParked *parked, *watch; /* (lock) a stack; the one of them that watches */
  atomic_bool drowsy;         /* which sleeps, for nobody asks anything */
};

typedef struct BgfsTurn {
  int64_t begun; /* monotonic µs */
  bool at_once;  /* there was something to read */
  bool blind;    /* nobody looked */
} BgfsTurn;

void bgfs_readers_init(BgfsReaders *readers, unsigned processors);
/* No thread is left. */
void bgfs_readers_clear(BgfsReaders *readers);

/* Waits until it is this thread's turn to read from `fd`, as long as that takes; may be cancelled meanwhile. The caller reads then, and
 * calls bgfs_readers_end() whatever came of it, on the same thread, before it carries the request out. `quick`: see request.h. */
BgfsTurn bgfs_readers_begin(BgfsReaders *readers, int fd);
void bgfs_readers_end(BgfsReaders *readers, BgfsTurn turn, int fd, bool quick);

/* The calling thread, which carries out a request, may wait for long: lets another one take the next, if none does. */
void bgfs_readers_call(BgfsReaders *readers);

#endif
