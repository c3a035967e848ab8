/* What requests for space mean on a node. Pure: no I/O. */
#ifndef BGFS_SPACE_H
#define BGFS_SPACE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
  BGFS_TRUNCATE_NOTHING,
  BGFS_TRUNCATE_ZERO_TAIL, /* what lies beyond reads as zeros, the size stays */
  BGFS_TRUNCATE_RESIZE
} BgfsTruncate;

/* truncate() from `size` to `length` bytes. `grows`: the node is a host file's bytes and follows its size. */
BgfsTruncate bgfs_truncate_action(uint64_t size, uint64_t length, bool grows);

typedef enum {
  BGFS_FALLOCATE_REFUSE, /* EOPNOTSUPP */
  BGFS_FALLOCATE_GROW,   /* to `end` */
  BGFS_FALLOCATE_PUNCH,  /* zeros, space given back */
  BGFS_FALLOCATE_ZERO    /* zeros; grown to `end` first where that lies beyond the size */
} BgfsFallocate;

/* fallocate() with `mode` of a range that ends at `end` in a node of `size` bytes. Space inside cannot be
 * guaranteed: refused. */
BgfsFallocate bgfs_fallocate_action(int mode, uint64_t size, uint64_t end);

#endif
