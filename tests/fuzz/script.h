/* What is done to a writable disk, told by the last bytes of an input: so a fuzzer can change what is done apart from the image. */
#ifndef FUZZ_SCRIPT_H
#define FUZZ_SCRIPT_H

#include "tests/drivers/core-shim.h"

/* A script: how the image is opened, then steps of four bytes: what, where, how much, with which bytes. */
enum { SCRIPT_HEAD = 4, SCRIPT_STEP = 4, SCRIPT_STEPS = 12, SCRIPT_SIZE = SCRIPT_HEAD + SCRIPT_STEPS * SCRIPT_STEP };

/* Bits of the first byte of the head. */
enum {
  SCRIPT_OVERLAY = 1 << 0,    /* there is a backing disk */
  SCRIPT_MEND_FIRST = 1 << 1, /* before it is written */
  SCRIPT_LEAKS_ONLY = 1 << 2, /* mend no more */
  SCRIPT_LOOK_ONLY = 1 << 3   /* there is no secret */
};

/* The script of an input; zeros where it is too short for one. */
void script_read(const uint8_t *data, size_t size, uint8_t script[SCRIPT_SIZE]);
/* Options for the driver (key, value, …, NULL), chosen by the second byte. */
const char *const *script_options(const uint8_t *script);

/* Makes the node writable, does the steps, and leaves it read-only if it can. `sound`: nothing was wrong with the image; then what was written must be read
 * again, also from the snapshots taken, and nothing must be wrong afterwards. */
void script_run(Shim *shim, const BgDriver *driver, BgChild *file, const uint8_t *script, bool sound);

#endif
