/* Children that write down what passes through them: every successful writing call and flush, with its data, in the one order in which
 * they came, whichever file they went to. Knows nothing of formats. For one thread. */
#ifndef CRASH_RECORD_H
#define CRASH_RECORD_H

#include "tests/crash/files.h"

typedef enum { RECORD_WRITE, RECORD_ZERO, RECORD_DISCARD, RECORD_RESIZE, RECORD_FLUSH } RecordKind;

typedef struct RecordEntry {
  RecordKind kind;
  unsigned file;   /* CRASH_IMAGE, CRASH_DATA */
  uint64_t offset; /* RESIZE: the new size */
  uint64_t length;
  uint8_t *data; /* WRITE: what was written, else NULL */
} RecordEntry;

typedef struct Record Record;

/* Over the files `below`, which stay the caller's. */
Record *record_new(const CrashFiles *below);
void record_free(Record *record); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Record, record_free)

/* The children that write down, the record's, with the names and roles of those below. */
const CrashFiles *record_files(const Record *record);

/* How many calls there are, and the one at `index`. */
size_t record_length(const Record *record);
const RecordEntry *record_entry(const Record *record, size_t index);

/* What a driver that is wrong would do, to prove that somebody notices. */
typedef enum {
  RECORD_RIGHT,
  RECORD_NO_FLUSH,   /* flushes of the file do not come */
  RECORD_LATE_FLUSH, /* a flush of the file comes behind the write that should wait for it */
  RECORD_DEAF        /* what fails in the file is taken for a success */
} RecordFault;

/* From now on. */
void record_plant(Record *record, RecordFault fault, unsigned file);

#endif
