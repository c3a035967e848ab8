/* Counts all references in a qcow2 image by itself, without the driver's code, and compares them with the refcounts. For images that
 * are sane but for their refcounts. */
#ifndef QCOW2_REFERENCES_H
#define QCOW2_REFERENCES_H

#include <stdint.h>

typedef struct ImageCheck {
  unsigned corruptions; /* references beyond the refcount, false flags, false offsets */
  unsigned leaks;
  unsigned leaks_beyond; /* of these past the file's end, where others do not look */
  char first[128]; /* the first corruption, in words */
} ImageCheck;

void references_check(const uint8_t *bytes, uint64_t size, ImageCheck *check);

#endif
