/* An internal snapshot: a state of a disk that its image keeps. */
#ifndef BG_SNAPSHOT_H
#define BG_SNAPSHOT_H

#include <glib.h>
#include <stdint.h>

typedef struct BgSnapshot {
  char *id, *name;        /* as the image has them, which may be anything; at most 255 bytes */
  uint64_t size;          /* of the disk, bytes */
  uint64_t vm_state_size; /* bytes; 0: the disk alone */
  uint32_t date_sec, date_nsec;
  uint64_t vm_clock_nsec;
  uint64_t icount; /* UINT64_MAX: not recorded */
} BgSnapshot;

/* NULL is fine. */
void bg_snapshot_free(BgSnapshot *snapshot);
/* A list that frees its snapshots. */
GPtrArray *bg_snapshot_list_new(void);

#endif
