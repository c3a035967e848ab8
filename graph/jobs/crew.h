/* Hands: threads that see to several pieces of a disk at a time for one job, whose own thread says what is to be done, and
 * judges what became of it. All functions are called in that thread, inside no gate. */
#ifndef BG_JOB_CREW_H
#define BG_JOB_CREW_H

#include "graph/jobs/copy.h"

typedef struct BgCrew BgCrew;

typedef struct BgCrewKind {
  /* By a hand, beside others; `reading` is false at first. 0 or -errno. */
  int (*see_to)(void *work, BgPiece *piece);
  /* By the job: see_to() has failed with `result`. AGAIN holds for all pieces that have failed until then. */
  BgCopyVerdict (*failed)(BgJob *job, void *work, const BgPiece *piece, int result, GError **error);
} BgCrewKind;

/* From inside run(). `work` is for the two functions. NULL: EAGAIN where there are no threads, ENOMEM. */
BgCrew *bg_crew_new(BgJob *job, const BgCrewKind *kind, void *work, GError **error);

/* Waits for those in hand, and frees it; NULL is allowed. */
void bg_crew_free(BgCrew *crew);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgCrew, bg_crew_free)

/* Waits for a free hand, which sees to that piece then. Judges those that are done: their bytes are progress, or they failed. False: the job
 * fails. */
bool bg_crew_give(BgCrew *crew, uint64_t offset, uint64_t length, bool zero, GError **error);

/* Waits for all pieces, and judges them. False: the job fails. */
bool bg_crew_finish(BgCrew *crew, GError **error);

#endif
