/* Power cuts: a script runs, and then the files are looked at as they may be after a cut behind each call that reached them. */
#ifndef CRASH_POWER_H
#define CRASH_POWER_H

#include "tests/crash/format.h"
#include "tests/crash/replay.h"

typedef struct PowerPlan {
  uint64_t seed;
  uint64_t states;  /* how many to look at; each round of a script has a seed of its own */
  uint64_t foreign; /* the foreign judge looks at each so-many-th; 1: all, 0: none */
  bool one;         /* only the state of `cut` and `how`, of the round with `seed` */
  size_t cut;
  PowerCut how;
  bool verbose; /* print the script */

  /* Planted, to prove that it is noticed: then failures are not printed. */
  RecordFault fault;
  unsigned fault_file;
} PowerPlan;

typedef struct PowerResult {
  uint64_t states, foreign, written; /* looked at; by a foreign judge too; written to */
  uint64_t failures;                 /* each is printed, with how to see it again */
} PowerResult;

/* False if the configuration cannot be tried here (the reason is printed). */
bool power_run(const CrashFormat *format, const PowerPlan *plan, PowerResult *result);

#endif
