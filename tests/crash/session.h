/* A node of a format under a random script, with a shadow beside it and a record below. Knows nothing of formats. */
#ifndef CRASH_SESSION_H
#define CRASH_SESSION_H

#include "tests/crash/origin.h"
#include "tests/crash/record.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"

typedef struct Session {
  const Origin *origin;
  CrashFiles files; /* the node's, under the record */
  Record *record;
  Shim *shim; /* over the record */
  bool open;  /* for a writer: false once the last one leaves, though the node may have failed to become read-only */
  Shadow *shadow;
  Snapshots *snapshots;
  unsigned taken; /* snapshots, for their names */
  uint64_t random;
  unsigned steps; /* made so far */
} Session;

/* With files of its own that are as the origin's, which outlives it; open for writing. NULL on error. */
Session *session_new(const Origin *origin, GError **error);
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

/* So many steps, of which none may fail. `watcher` (NULL: none) hears of each. */
typedef void (*SessionWatcher)(const Step *step);
bool session_run(Session *session, unsigned steps, SessionWatcher watcher, GError **error);

/* Closes the node and opens it again, read-only. */
bool session_reopen(Session *session, GError **error);
/* Makes the node read-only or writable, which makes everything durable. */
bool session_set_writable(Session *session, bool writable, GError **error);
/* Whether the open node reads as it must, its snapshots, too. */
bool session_check(Session *session, GError **error);

/* Whether the snapshots of a node that session_open() gave are what they may be after a cut. */
bool session_allows_snapshots(const Session *session, size_t cut, Shim *shim, GError **error);

/* Opens other files of the same image read-only; the caller closes it. */
Shim *session_open(const Session *session, const CrashFiles *files, GError **error);
/* All that a node reads as: shadow_capacity() bytes, zeros past its size. NULL on error. */
uint8_t *session_read_all(const Session *session, Shim *shim, GError **error);

/* Every eight bytes say what they were written by, so that nothing is mistaken for something else. */
void session_fill(uint8_t *data, uint64_t length, uint64_t seed);

#endif
