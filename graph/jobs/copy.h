/* Copying one disk to another: what commit, mirror and backup have in common. */
#ifndef BG_JOB_COPY_H
#define BG_JOB_COPY_H

#include "graph/jobs/chain.h"
#include "graph/jobs/work.h"
#include "graph/proposal.h"

#include <stddef.h>

/* What a job copies. Zeroed: nothing yet. */
typedef struct BgCopy {
  BgChain chain; /* of a commit; of the others its freeze and guards only */
  BgNode *source, *target;
  BgUser *from, *to; /* on those */
} BgCopy;

/* Opens source (with `perm`; others may do as `shared` says) and target, which nobody else writes then. The chain is frozen or initialized. */
bool bg_copy_open(BgCopy *copy, BgPerm perm, BgPerm shared, GError **error);

/* What others may do to a source that is written while it is copied. */
BgPerm bg_copy_shared_with_writers(BgNode *source);

/* Makes the target as large as the source now is, if it is smaller. */
bool bg_copy_grow(const BgCopy *copy, GError **error);

/* A change at a moment when no request is in the source: its last step is last(data). `more` (NULL: nothing) adds to it, under
 * graph->control. */
bool bg_copy_run_alone(BgCopy *copy, bool (*last)(void *data, GError **error),
                       void (*more)(void *data, BgProposal *proposal), void *data, GError **error);

/* Everybody leaves, and the chain is as it was. */
void bg_copy_clear(BgCopy *copy);

/* The most that is copied in one go. */
#define BG_COPY_PIECE (UINT64_C(1) << 20)

/* So many bytes, at the beginning of a page: the kernel copies from and to there faster by a quarter. free() it; NULL without memory. */
void *bg_copy_buffer(void);

typedef struct BgPiece {
  uint64_t offset, length; /* of bytes at most BG_COPY_PIECE */
  bool zero;               /* it reads as zeros: no bytes are moved */
  bool reading;            /* a failure is one of reading */
  void *buffer;            /* of BG_COPY_PIECE bytes */
} BgPiece;

/* 0 or -errno; sets `reading`. */
int bg_copy_piece(BgUser *from, BgUser *to, BgPiece *piece);

/* Whether both sizes are known and the target is no larger. */
bool bg_copy_check_sizes(BgNode *source, BgNode *target, GError **error);

/* What a failed piece means for a job whose other pieces can go on. */
typedef enum {
  BG_COPY_AGAIN, /* the same once more */
  BG_COPY_PAST,  /* leave it out; the first such error is kept in *first */
  BG_COPY_FAILS  /* *error is set */
} BgCopyVerdict;
BgCopyVerdict bg_copy_failed(BgJob *job, BgOnError on_error, bool reading, int result, int *first, GError **error);

/* What to do about failures on either side. */
typedef struct BgCopyPolicy {
  BgOnError source, target;
} BgCopyPolicy;

/* The same for a job that comes to what it passes over once more: PAST comes after a little while. */
BgCopyVerdict bg_copy_failed_for_now(BgJob *job, const BgCopyPolicy *on_error, const BgPiece *piece, int result,
                                     GError **error);

#endif
