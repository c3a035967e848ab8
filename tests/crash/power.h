/* Power cuts: a script runs, and then the disk is looked at as it may be after a cut behind each call that reached it. */
#ifndef CRASH_POWER_H
#define CRASH_POWER_H

#include "tests/crash/format.h"
#include "tests/crash/replay.h"

typedef struct PowerPlan {
  uint64_t seed;
  uint64_t states; /* how many to look at; each round of a script has a seed of its own */
  bool one;        /* only the state of `cut` and `how`, of the round with `seed` */
  size_t cut;
  PowerCut how;
  bool verbose; /* print the script */
} PowerPlan;

typedef struct PowerResult {
  uint64_t states, foreign, written; /* looked at; by a foreign judge too; written to */
  uint64_t failures;                 /* each is printed, with how to see it again */
} PowerResult;

/* False if the configuration cannot be tried here (the reason is printed). */
bool power_run(const CrashFormat *format, const PowerPlan *plan, PowerResult *result);

/* Whether the session's disk is sound and has the right content after a cut; `how` and `seed` as replay_state() takes them. */
struct Session;
bool power_judge(const struct Session *session, Replay *replay, size_t cut, PowerCut how, uint64_t seed,
                 GError **error);

#endif
