/* Judges of what an accident has left: whether the image holds together, and shows what it must. Several count the same thing in
 * different ways, and have to agree. */
#ifndef CRASH_JUDGE_H
#define CRASH_JUDGE_H

#include "tests/crash/session.h"

/* The driver's own check: false where it finds corruptions. `shim` is open on the image and not writable. */
bool judge_by_driver(const Session *session, Shim *shim, CrashCount *count, GError **error);
/* It and the format's judge, which must agree; *count is theirs. */
bool judge_image(const Session *session, Shim *shim, const CrashFiles *files, CrashCount *count, GError **error);
/* Whether two judges have counted the same; `what` is the first one's name. */
bool judge_agree(const char *what, const CrashCount *one, const CrashCount *other, GError **error);

/* How much is looked at after a cut. */
typedef struct JudgeTask {
  size_t cut;
  bool foreign; /* by the foreign judge, too */
  bool compare; /* who also has to read the disk as the driver does */
  bool write;   /* afterwards the disk is written to, closed, and judged again */
  uint64_t seed;
} JudgeTask;

/* The files are as a cut may have left them; only what `write` does changes them. */
bool judge_cut(const Session *session, const CrashFiles *files, const JudgeTask *task, GError **error);

#endif
