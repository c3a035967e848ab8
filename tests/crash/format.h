/* What the laboratory must know of a format. To add one: a table of these, and its name in the list of lab.c. */
#ifndef CRASH_FORMAT_H
#define CRASH_FORMAT_H

#include "drivers/driver.h"
#include "tests/crash/files.h"

/* What one judge counts in an image. */
typedef struct CrashCount {
  uint64_t corruptions, leaks;
} CrashCount;

/* One configuration of an image. */
typedef struct CrashFormat CrashFormat;

/* What a broken image may be like, to prove that the judges notice. */
typedef struct CrashDamage {
  const char *name;
  void (*damage)(BgChild *image);
  const char *says; /* a part of what a judge has to say */
  bool foreign;     /* the foreign judge of images has to notice, too */
} CrashDamage;

struct CrashFormat {
  const char *name;
  const char *driver;
  const char *const *create_options, *const *open_options; /* key, value, …, NULL */
  uint64_t size;                                           /* of the disk, bytes */
  uint64_t reach;      /* the script writes below it, and beyond only here and there */
  uint64_t step;       /* the usual length of a write, bytes */
  unsigned operations; /* of a script for power cuts */
  const char
      *backing;    /* the name of the backing file in the image, such that foreign programs can open it; NULL: none */
  bool special;    /* writes are compressed where data gets smaller, as most then does */
  bool snapshots;  /* the script takes, applies and deletes internal snapshots, too */
  bool dirty_mark; /* a writer marks the image; after a crash the next one mends it */
  bool data_file;  /* the data lies in a file of its own */
  bool data_raw;   /* which shows the disk by itself, too */

  /* Changes the closed image before the script runs (an internal snapshot, say). NULL: nothing. */
  bool (*prepare)(const CrashFormat *format, CrashFiles *files, GError **error);
  /* Whether the image is free of contradictions, leaked space aside, and of marks that it must not bear; without the driver's
   * help. *count in any case. */
  bool (*judge)(const CrashFormat *format, const CrashFiles *files, CrashCount *count, GError **error);
  /* The same by a foreign program, slow; and with `content` (NULL: whatever) whether that program reads so the `size` bytes of the disk.
   * ENOPKG: there is none here. */
  bool (*judge_foreign)(const CrashFormat *format, const CrashFiles *files, const uint8_t *content, uint64_t size,
                        CrashCount *count, GError **error);
  /* Whether what the image records of its own changes holds, of a disk of `size` bytes that read as `before` when its record began (zeros
   * past its size) and reads as `after` now. NULL: it records none. */
  bool (*judge_changes)(const CrashFormat *format, BgChild *image, const uint8_t *before, const uint8_t *after,
                        uint64_t size, GError **error);

  const CrashDamage *damages; /* ended by one without a name; NULL: none */
};

/* Names the secret among the options. */
#define ORIGIN_SECRET_ID "key"

/* Tables of configurations, ended by one without a name. */
extern const CrashFormat crash_qcow2[];

#endif
