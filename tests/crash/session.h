/* A node of a format under a random script, with a shadow beside it and a record below. Knows nothing of formats. */
#ifndef CRASH_SESSION_H
#define CRASH_SESSION_H

#include "tests/crash/format.h"
#include "tests/crash/record.h"
#include "tests/crash/shadow.h"
#include "tests/crash/snapshots.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"

typedef struct Session {
  const CrashFormat *format;
  BgChild *file;    /* memory child */
  BgChild *record;  /* over it */
  BgChild *backing; /* memory child; NULL: none */
  uint8_t *start;   /* the image before the first entry of the record */
  uint64_t start_size;
  uint8_t *before; /* what the disk read as then: shadow_capacity() bytes */
  Shim *shim;
  Shadow *shadow;
  Snapshots *snapshots;
  unsigned taken; /* snapshots, for their names */
  uint64_t random;
  unsigned steps; /* made so far */
} Session;

/* A used image of the format (space was freed in it, too), open for writing. NULL on error. */
Session *session_new(const CrashFormat *format, uint64_t seed, GError **error);
void session_free(Session *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Session, session_free)

/* The next operation of the script: 0 or what the node answered (-errno). What a failed operation left behind is looked at by
 * session_settle(), before the next step. False: the node broke its promises. */
typedef struct Step {
  char text[80]; /* what it was */
  int rc;
  bool hint;               /* it may leave things as they are */
  bool forgiving;          /* an error may only cost space, and need not be told */
  uint64_t offset, length; /* what it may have changed: nothing, if 0 */
  uint8_t *data;           /* what it wanted there; NULL: zeros. Owned by the step */
  uint64_t size;           /* that it wanted; 0: the same */
  size_t begin;
} Step;

bool session_step(Session *session, Step *step, GError **error);
/* Reads what the failed step left; false if it is neither what was nor what was to be. Clears the step. */
bool session_settle(Session *session, Step *step, GError **error);
void step_clear(Step *step);

/* Makes the node read-only or writable, which makes everything durable. */
bool session_set_writable(Session *session, bool writable, GError **error);
/* Whether the open node reads as it must, its snapshots, too. */
bool session_check(Session *session, GError **error);

/* Whether the snapshots of a node that session_open() gave are what they may be after a cut. */
bool session_allows_snapshots(const Session *session, size_t cut, Shim *shim, GError **error);

/* Opens `image` read-only beside the session; the caller closes it. */
Shim *session_open(const Session *session, BgChild *image, GError **error);
/* All that a node reads as: shadow_capacity() bytes, zeros past its size. NULL on error. */
uint8_t *session_read_all(const Session *session, Shim *shim, GError **error);

#endif
