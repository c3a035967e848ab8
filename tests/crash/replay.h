/* What the files may hold after a power cut: of each everything up to its last flush, and of what came after all, nothing, some calls,
 * or some sectors. A flush of one file orders nothing in the other. Knows nothing of formats. */
#ifndef CRASH_REPLAY_H
#define CRASH_REPLAY_H

#include "tests/crash/record.h"

typedef enum {
  POWER_CUT_ALL,    /* all of it: as kill -9 leaves it */
  POWER_CUT_NONE,   /* nothing after the last flush */
  POWER_CUT_SUBSET, /* any of the calls */
  POWER_CUT_TORN    /* any of the sectors of 512 bytes */
} PowerCut;

#define POWER_CUTS 4

/* "all", "none", "subset", "torn". */
const char *power_cut_name(PowerCut how);
/* False: there is none of that name. */
bool power_cut_parse(const char *name, PowerCut *how);

typedef struct Replay Replay;

/* Of what `record` holds, over the files that were there before its first entry (no forks); both stay the caller's and outlive it. */
Replay *replay_new(const Record *record, const CrashFiles *start);
void replay_free(Replay *replay);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Replay, replay_free)

/* The cut comes after the first `cut` calls of the record; never before an earlier cut. No state is left alive. */
void replay_advance(Replay *replay, size_t cut);
/* How many calls of the record end with the last flush before the cut, itself included. */
size_t replay_flushed(const Replay *replay);
/* A state after that cut, which the caller clears. The same for the same seed. */
CrashFiles replay_state(Replay *replay, PowerCut how, uint64_t seed);

#endif
