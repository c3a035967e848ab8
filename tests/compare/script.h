/* A random script of what is done to a disk. */
#ifndef COMPARE_SCRIPT_H
#define COMPARE_SCRIPT_H

#include "tests/compare/config.h"

typedef enum {
  OP_WRITE,
  OP_COMPRESS, /* a write of whole clusters, in compressed form where that is smaller */
  OP_ZERO,
  OP_ZERO_UNMAP,
  OP_DISCARD,
  OP_RESIZE,
  OP_FLUSH,
  OP_REOPEN,
  OP_SNAPSHOT, /* take one */
  OP_APPLY,
  OP_DELETE
} OpKind;

/* So many snapshots an image has at most. */
enum { SNAPSHOTS = 3 };

typedef struct Op {
  OpKind kind;
  uint64_t offset, length; /* RESIZE: length is the new size; snapshots: offset is the number in its name */
  uint8_t pattern;         /* COMPRESS: 0 is noise, which gets no smaller */
} Op;

/* The disk that a script works on, as far as the script must know it. */
typedef struct Disk {
  uint64_t size;
  guint count; /* of snapshots */
  struct {
    uint64_t number, size;
  } snapshots[SNAPSHOTS];
} Disk;

/* What becomes of the disk. False: the operation does not fit it. */
gboolean disk_step(Disk *disk, const Op *op);

/* `count` operations (Op), the same for the same seed. Free with g_array_unref(). */
GArray *script_new(const Config *config, uint64_t seed, size_t count);
/* Whether it is about snapshots: not while qemu-io has the image open. */
gboolean op_is_snapshot(const Op *op);
/* Name of a snapshot; the caller's. */
char *op_snapshot_name(const Op *op);
/* As a command of qemu-io, which finds the file `noise` in its folder, or a note; the caller's. */
char *op_text(const Op *op);

#endif
