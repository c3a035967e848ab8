/* Who carries out what comes through a ring. */
#ifndef BGFS_RING_SERVER_H
#define BGFS_RING_SERVER_H

#include <stddef.h>

typedef struct BgfsRingServer {
  int fd;         /* the connection: /dev/fuse, mounted */
  size_t payload; /* the longest data of a request or an answer, bytes */
  /* On a thread of the ring. `request` is as read() from /dev/fuse gives it; `payload` has room for the data of the answer, which is where it need
   * not be copied. Both are good until the answer. */
  void (*serve)(void *data, const void *request, size_t length, void *payload);
  void *data;
} BgfsRingServer;

#endif
