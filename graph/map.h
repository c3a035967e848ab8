/* Where the bytes of a disk come from. */
#ifndef BG_MAP_H
#define BG_MAP_H

#include "graph/user.h"

typedef struct BgMapped {
  uint64_t start, length; /* of the disk, bytes; length > 0 */
  unsigned depth;         /* 0: the node itself, 1: its backing disk, … */
  bool present;           /* some image of the chain says something of its own here */
  bool zero;              /* reads as zeros, known without reading */
  bool data;              /* bytes are stored, be they zeros */
  bool compressed;
  BgNode *storage; /* whose bytes at `offset` these are; NULL: they are nowhere as they read */
  uint64_t offset;
} BgMapped;

/* What is at `offset` (< size), with what follows it in the same way. May stop early after a bounded amount of work. 0 or -errno. */
int bg_user_map(BgUser *user, uint64_t offset, BgMapped *mapped);
/* The same from inside a gate, at most `length` bytes. */
int bg_io_map(BgNode *node, uint64_t offset, uint64_t length, BgMapped *mapped);

#endif
