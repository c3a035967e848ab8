/* What a disk must read as: the bytes that were written to it, where nothing has changed them since. Of the rest nothing is known. */
#ifndef FUZZ_SHADOW_H
#define FUZZ_SHADOW_H

#include "tests/drivers/core-shim.h"

#define SHADOW_SIZE ((uint64_t)64 << 10)

typedef struct Shadow {
  uint8_t bytes[SHADOW_SIZE];
  uint8_t known[SHADOW_SIZE]; /* 0 or 1 */
} Shadow;

/* The range now has these bytes; NULL: nobody knows. */
void shadow_set(Shadow *shadow, uint64_t offset, uint64_t length, const uint8_t *bytes);
/* Aborts where the disk, or the snapshot of it with that id, reads as anything else. What cannot be read passes. */
void shadow_check(const Shadow *shadow, Shim *shim);
void shadow_check_snapshot(const Shadow *shadow, Shim *shim, const char *id);

#endif
