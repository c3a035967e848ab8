/* What core-shim.c (opening and changes) and core-shim-io.c (data calls) share. */
#ifndef CORE_SHIM_INTERNAL_H
#define CORE_SHIM_INTERNAL_H

#include "tests/drivers/core-shim.h"

#include <pthread.h>

/* Stands between the driver and a child, and holds it to its permissions. */
typedef struct ShimEdge {
  BgChild child;
  BgChild *below;   /* NULL: not attached */
  unsigned granted; /* atomic, BgPerm */
} ShimEdge;

typedef struct ShimRange {
  uint64_t start, end;
  bool exclusive;
  uint64_t epoch; /* in which its request began */
} ShimRange;

struct Shim {
  BgHost host;
  const BgDriver *driver;
  void *options;
  void *instance;
  BgMode mode;
  ShimEdge file, data, backing;
  char *backing_reference;
  unsigned corruptions, warnings; /* atomic */
  bool special;
  const BgSecret *secret;

  /* The ranges of all requests under way. */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  GPtrArray *ranges; /* ShimRange * on their threads' stacks; under lock */
  uint64_t epoch;    /* under lock */
};

void shim_range_enter(Shim *shim, ShimRange *range, uint64_t start, uint64_t end, bool exclusive);
void shim_range_leave(Shim *shim, ShimRange *range);

#endif
