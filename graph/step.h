/* One part of a transaction (transaction.h), as those who know how to do it make it. */
#ifndef BG_STEP_H
#define BG_STEP_H

#include "graph/proposal.h"

typedef struct BgStep BgStep;

typedef struct BgStepKind {
  /* What the transaction's change shall be, beside what other steps say. Under graph->control. */
  bool (*propose)(BgStep *step, BgProposal *proposal, GError **error);
  /* At the instant: no request is in the nodes that were proposed. On failure nothing is left of it. NULL: the change is all. */
  bool (*act)(BgStep *step, GError **error);
  /* Takes back what act() did, still at the instant. NULL iff act() is. */
  void (*undo)(BgStep *step);
  /* All have acted, still at the instant: what cannot be taken back. NULL: nothing. */
  void (*seal)(BgStep *step);
  /* Afterwards, whether act() was called or not; frees. `done`: the whole transaction is. */
  void (*end)(BgStep *step, bool done);
} BgStepKind;

/* Begins what each kind has of its own. */
struct BgStep {
  const BgStepKind *kind;
};

#endif
