/* The snapshot table, read and checked, and made anew. */
#ifndef BG_QCOW2_SNAPSHOTS_H
#define BG_QCOW2_SNAPSHOTS_H

#include "drivers/qcow2/header.h"

enum { QCOW2_SNAPSHOT_EXTRA_V3 = 16 };

typedef struct Qcow2Snapshot {
  uint64_t at, bytes; /* of the entry, from the table's start and padded */
  uint64_t l1_offset;
  uint32_t l1_entries;
  uint64_t disk_size;  /* UINT64_MAX: not recorded */
  uint32_t extra_size; /* bytes of extra data, of which version 3 wants QCOW2_SNAPSHOT_EXTRA_V3 */
  uint32_t date_sec, date_nsec;
  uint64_t vm_clock_nsec;
  uint64_t vm_state_size; /* bytes */
  uint64_t icount;        /* UINT64_MAX: not recorded */
  char *id, *name;        /* as they are, cut at 255 bytes and before the first zero byte */
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
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Qcow2Snapshots, qcow2_snapshots_clear)

/* The first one with that id; NULL: none. */
const Qcow2Snapshot *qcow2_snapshots_find(const Qcow2Snapshots *snapshots, const char *id);
/* Whether both list the same. */
bool qcow2_snapshots_equal(const Qcow2Snapshots *a, const Qcow2Snapshots *b);

/* The table's bytes as they lie in the file, NULL and 0 if it has none. 0 or -errno. */
int qcow2_snapshots_bytes(BgChild *file, uint64_t offset, const Qcow2Snapshots *snapshots, GByteArray **table);
/* Appends an entry: `snapshot` says all but where and how long it is. */
void qcow2_snapshots_append(GByteArray *table, const Qcow2Snapshot *snapshot);

#endif
