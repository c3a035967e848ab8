/* Extents whose bytes the driver keeps in another form (BG_EXTENT_ENCODED: encryption): coded and decoded in a buffer of the core's, never
 * in the caller's, a bounded piece at a time. Inside a gate. 0 or -errno. */
#ifndef BG_ENCODED_H
#define BG_ENCODED_H

#include "graph/node.h"

/* Reads the vector, whose first byte is the node's `offset` and the run's first. A part of a unit is read with all of it. */
int bg_encoded_read(BgNode *node, const BgExtent *run, const struct iovec *iov, int iovcnt, uint64_t offset);

/* Writes it in place. Of a unit that the vector covers only in part the rest is read first: nobody else reads or writes the units
 * meanwhile. The caller holds the range, shared at least. */
int bg_encoded_write(BgNode *node, const BgExtent *run, const struct iovec *iov, int iovcnt, uint64_t offset);

/* Writes all of the space that a reservation holds. */
int bg_encoded_write_new(BgNode *node, const BgReservation *place, const struct iovec *iov, int iovcnt);

#endif
