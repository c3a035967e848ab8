/* The snapshot table, read and checked. */
#ifndef BG_QCOW2_SNAPSHOTS_H
#define BG_QCOW2_SNAPSHOTS_H

#include "drivers/qcow2/header.h"

enum { QCOW2_SNAPSHOT_EXTRA_V3 = 16 };

typedef struct Qcow2Snapshot {
  uint64_t l1_offset;
  uint32_t l1_entries;
  uint32_t extra_size; /* bytes of extra data, of which version 3 wants QCOW2_SNAPSHOT_EXTRA_V3 */
  uint32_t date_sec, date_nsec;
  uint64_t vm_clock_nsec;
  uint64_t vm_state_size; /* bytes */
  uint64_t icount;        /* UINT64_MAX: not recorded */
  char *id, *name;        /* printable, cut at 255 bytes */
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
