/* Two images that go through the same script: one in our hands, one in QEMU's. */
#ifndef COMPARE_TWIN_H
#define COMPARE_TWIN_H

#include "drivers/error.h"
#include "graph/graph.h"
#include "tests/compare/script.h"

typedef struct Twin {
  const Config *config;
  char *folder;
  char *ours, *theirs; /* files in it */
} Twin;

/* Makes both in a folder of their own, with a backing file that both stand on. NULL on error (ENOPKG: there is no QEMU). */
Twin *twin_new(const Config *config, GError **error);
/* Removes the folder. NULL is fine. */
void twin_free(Twin *twin);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Twin, twin_free)

/* Runs a program in the folder; *output (may be NULL) is what it prints. Its exit status; -1 and error where it cannot be run. */
int twin_run(const Twin *twin, const char *const *arguments, const char *input, char **output, GError **error);

/* What OP_COMPRESS of pattern 0 writes, over and over: a file `noise` in the folder. */
enum { NOISE = 8192 };
void twin_noise(uint8_t bytes[NOISE]);

/* ── ours.c, theirs.c: the script, each in its own way ── */

bool ours_run(const Twin *twin, const Op *ops, size_t count, GError **error);
bool theirs_run(const Twin *twin, const Op *ops, size_t count, GError **error);

/* What a disk says of a range of itself. */
typedef enum { MAP_HOLE, MAP_ZERO, MAP_DATA } MapKind;
typedef struct MapRange {
  uint64_t start, length;
  MapKind kind;
  unsigned depth; /* not of holes */
} MapRange;

/* MapRange, in order, neighbours of one kind merged. */
GArray *ours_map(const Twin *twin, GError **error);
GArray *theirs_map(const Twin *twin, GError **error);
void map_add(GArray *map, const MapRange *range);

/* ── judge.c, snapshots.c ── */

/* Whether both are sound and the same. `ops` are all that were run. */
bool twin_judge(const Twin *twin, const Op *ops, size_t count, GError **error);
/* Whether both have the snapshots that the script left, each with the same content, as QEMU reads them, and ours as we do. */
bool twin_judge_snapshots(const Twin *twin, const Op *ops, size_t count, GError **error);
/* Compares what a snapshot of our image, of a disk of `size` bytes, shows with the file `expected`, which has the size of the disk now. */
bool ours_compare_snapshot(const Twin *twin, const char *name, uint64_t size, const char *expected, GError **error);

#endif
