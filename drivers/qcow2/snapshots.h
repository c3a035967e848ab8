/* The snapshot table, read and checked. */
#ifndef BG_QCOW2_SNAPSHOTS_H
#define BG_QCOW2_SNAPSHOTS_H

#include "drivers/qcow2/header.h"

typedef struct Qcow2Snapshot {
  uint64_t l1_offset;
  uint32_t l1_entries;
  char *id, *name; /* printable, cut at 255 bytes */
} Qcow2Snapshot;

typedef struct Qcow2Snapshots {
  Qcow2Snapshot *list;
  size_t count;
  uint64_t bytes; /* that the table takes in the file */
} Qcow2Snapshots;

/* Reads the table that the header names. EINVAL where it does not hold together or exceeds 64 MiB; then *snapshots
 * is untouched. */
bool qcow2_snapshots_read(BgChild *file, const Qcow2Header *header, Qcow2Snapshots *snapshots, GError **error);
void qcow2_snapshots_clear(Qcow2Snapshots *snapshots);

#endif
