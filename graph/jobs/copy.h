/* Copying disks, a piece at a time: what commit, mirror and backup have in common. */
#ifndef BG_JOB_COPY_H
#define BG_JOB_COPY_H

#include "graph/jobs/work.h"
#include "graph/user.h"

#include <stddef.h>

/* The most that is copied in one go. */
#define BG_COPY_PIECE (UINT64_C(1) << 20)

/* One piece; `buffer` holds BG_COPY_PIECE bytes. *reading tells which side a failure is of. 0 or -errno. */
int bg_copy_data(BgUser *from, BgUser *to, uint64_t offset, uint64_t length, void *buffer, bool *reading);

/* Whether both sizes are known and the target is no larger. */
bool bg_copy_check_sizes(BgNode *source, BgNode *target, GError **error);

/* Makes `to` as large as `size` if it is smaller. 0 or -errno, with the reason. */
bool bg_copy_grow(BgUser *to, uint64_t size, GError **error);

/* What a failed piece means for a job whose other pieces can go on. */
typedef enum {
  BG_COPY_AGAIN, /* the same once more */
  BG_COPY_PAST,  /* leave it out; the first such error is kept in *first */
  BG_COPY_FAILS  /* *error is set */
} BgCopyVerdict;
BgCopyVerdict bg_copy_failed(BgJob *job, BgOnError on_error, bool reading, int result, int *first, GError **error);

#endif
