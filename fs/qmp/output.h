/* What waits to be sent to one client: bounded, and nobody who adds to it ever waits. */
#ifndef BGFS_QMP_OUTPUT_H
#define BGFS_QMP_OUTPUT_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define BGFS_QMP_MAX_OUTPUT                                                                                            \
  (16u * 1024 * 1024) /* bytes; what comes when more would wait (a single message apart) makes the client be given up */

typedef struct BgfsQmpOutput {
  int fd; /* a socket; not owned */
  pthread_mutex_t lock;
  GByteArray *bytes;
  size_t sent; /* of `bytes` */
  bool broken; /* nothing is sent any more */
} BgfsQmpOutput;

void bgfs_qmp_output_init(BgfsQmpOutput *output, int fd);
/* Nobody uses it any more. */
void bgfs_qmp_output_clear(BgfsQmpOutput *output);

/* ── any thread ── */

/* Queues text, and sends what can be sent at once. False if something waits, or the connection is broken: the client's thread is to be woken. */
bool bgfs_qmp_output_add(BgfsQmpOutput *output, const char *text);
/* Sends what can be sent at once. */
void bgfs_qmp_output_send(BgfsQmpOutput *output);
/* Bytes that wait. */
size_t bgfs_qmp_output_waiting(BgfsQmpOutput *output);
bool bgfs_qmp_output_is_broken(BgfsQmpOutput *output);

#endif
