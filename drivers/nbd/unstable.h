/* Writes that the server has acknowledged but not flushed: a server that dies may forget them. They are kept, in the order in which they
 * were sent, until a flush covers them, so that they can be sent again.
 *
 * Every call under the session's lock, but for bg_nbd_kept_new(). */
#ifndef BG_NBD_UNSTABLE_H
#define BG_NBD_UNSTABLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct BgNbdKept {
  GList link;
  bool zero;
  uint64_t offset, length;
  uint32_t flags;    /* libnbd's */
  bool acknowledged; /* else under way, or lost: its caller sends it again himself */
  uint64_t flush;    /* the flush under way that covers it; 0: none */
  uint8_t data[];    /* unless `zero` */
} BgNbdKept;

/* Zeroed is empty. */
typedef struct BgNbdUnstable {
  GQueue kept;
  uint64_t bytes;
  uint64_t flushes; /* so far */
} BgNbdUnstable;

/* A copy of what is to be written; iov NULL: zeros. */
BgNbdKept *bg_nbd_kept_new(const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length, uint32_t flags);

void bg_nbd_unstable_add(BgNbdUnstable *unstable, BgNbdKept *kept);
/* It has failed. */
void bg_nbd_unstable_remove(BgNbdUnstable *unstable, BgNbdKept *kept);
void bg_nbd_unstable_clear(BgNbdUnstable *unstable);

/* A flush begins: its number. */
uint64_t bg_nbd_unstable_flush_begin(BgNbdUnstable *unstable);
/* It has ended: what it covered goes, or stays. */
void bg_nbd_unstable_flush_end(BgNbdUnstable *unstable, uint64_t flush, bool done);

/* The first acknowledged one behind `after` (NULL: from the start); NULL if there is none. */
BgNbdKept *bg_nbd_unstable_next(BgNbdUnstable *unstable, BgNbdKept *after);

#endif
