/* One thread of a ring. */
#ifndef BGFS_RING_THREAD_H
#define BGFS_RING_THREAD_H

#include "fs/ring/place.h"
#include "fs/ring/server.h"
#include "fs/ring/slot.h"

#include <liburing.h>
#include <pthread.h>

/* Slots of one thread: requests whose answers it waits for, beside the one that it can take. */
#define BGFS_RING_SLOTS 64u

typedef struct BgfsRingThread BgfsRingThread;

/* A slot, with its way to the kernel. */
typedef struct BgfsRingSeat {
  BgfsRingSlot slot;
  unsigned queue;
  bool waiting;      /* the kernel may put a request there */
  uint64_t commit;   /* what the answer goes back with */
  struct iovec iov[2];
  struct BgfsRingSeat *next;     /* of the thread: only the head changes */
  struct BgfsRingSeat *answered; /* the next one that others have answered (lock) */
} BgfsRingSeat;

struct BgfsRingThread {
  const BgfsRingServer *server;
  BgfsRingStand stand;
  unsigned first_queue, queues; /* which it stands at */
  struct io_uring uring;
  bool open;
  int wake;            /* an eventfd; -1: errno was wake_error */
  int wake_error;
  uint64_t woken;      /* what is read from that */
  BgfsRingSeat *_Atomic seats;
  unsigned count;
  unsigned alive;      /* seats that the kernel knows */
  BgfsRingSeat *current; /* the request that is being carried out; NULL: none, or it has been answered */
  atomic_bool stop;
  pthread_mutex_t lock;
  BgfsRingSeat *answered; /* (lock) to be given back */
};

/* What it is to be, before there is such a thread; `server` and `place` stay. */
BgfsRingThread *bgfs_ring_thread_new(const BgfsRingServer *server, BgfsRingPlace *place, unsigned first_queue, unsigned queues);
/* It has ended. */
void bgfs_ring_thread_free(BgfsRingThread *thread);

/* Opens what the calling thread needs, for it alone. False: errno. In any case bgfs_ring_thread_close() follows. */
bool bgfs_ring_thread_open(BgfsRingThread *thread);
/* Takes requests and carries them out until it is stopped or the connection ends. */
void bgfs_ring_thread_run(BgfsRingThread *thread);
/* By the same thread. */
void bgfs_ring_thread_close(BgfsRingThread *thread);

/* Any thread: whether it was for one of the thread's requests. */
bool bgfs_ring_thread_answer(BgfsRingThread *thread, const struct iovec *iov, int count);
/* Any thread, until bgfs_ring_thread_free(). */
void bgfs_ring_thread_stop(BgfsRingThread *thread);

/* The one that calls; NULL: it is none. */
BgfsRingThread *bgfs_ring_thread_self(void);

#endif
