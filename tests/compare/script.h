/* A random script of what is done to a disk. */
#ifndef COMPARE_SCRIPT_H
#define COMPARE_SCRIPT_H

#include "tests/compare/config.h"

typedef enum { OP_WRITE, OP_ZERO, OP_ZERO_UNMAP, OP_DISCARD, OP_RESIZE, OP_FLUSH, OP_REOPEN } OpKind;

typedef struct Op {
  OpKind kind;
  uint64_t offset, length; /* RESIZE: length is the new size */
  uint8_t pattern;
} Op;

/* `count` operations (Op), the same for the same seed. Free with g_array_unref(). */
GArray *script_new(const Config *config, uint64_t seed, size_t count);
/* As a command of qemu-io, or a note. */
char *op_text(const Op *op);

#endif
