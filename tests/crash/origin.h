/* A used image, from which sessions begin: written to, and space was freed in it. */
#ifndef CRASH_ORIGIN_H
#define CRASH_ORIGIN_H

#include "tests/crash/format.h"
#include "tests/crash/shadow.h"
#include "tests/crash/snapshots.h"

typedef struct Origin {
  const CrashFormat *format;
  CrashFiles files;
  BgChild *backing; /* memory child; NULL: none */
  uint8_t *content; /* of the disk: `capacity` bytes, zeros past its size */
  uint64_t size, capacity;
  Snapshots *snapshots;
  unsigned taken;  /* snapshots, for their names */
  uint64_t random; /* that the script begins with */
} Origin;

/* The same for the same seed, but for the keys of what is encrypted. NULL on error. */
Origin *origin_new(const CrashFormat *format, uint64_t seed, GError **error);
void origin_free(Origin *origin); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Origin, origin_free)

/* Opens an image of this origin read-only; the caller closes it. */
Shim *origin_open(const Origin *origin, const CrashFiles *files, GError **error);
/* What opens the encrypted ones. */
extern const BgSecret origin_secret;

#endif
