/* I/O errors: a script runs again and again, and each time another call to the storage fails. */
#ifndef CRASH_ERRORS_H
#define CRASH_ERRORS_H

#include "tests/crash/format.h"
#include "tests/crash/record.h"

typedef struct ErrorPlan {
  uint64_t seed;
  unsigned operations; /* of the script */
  unsigned stride;     /* every so many calls one is made to fail; 1: each */
  int64_t only;        /* only the run of that number, with its script printed; -1: all */
  RecordFault fault;   /* planted, to prove that it is noticed: then failures are not printed */
} ErrorPlan;

typedef struct ErrorResult {
  uint64_t runs, told; /* with an error each; the node told of it at once */
  uint64_t failures;   /* each is printed, with how to see it again */
} ErrorResult;

/* EIO and ENOSPC, once and for a while, from reads, writes, flushes and discards of each file, and a disk that is full. False if the
 * configuration cannot be tried here. */
bool errors_run(const CrashFormat *format, const ErrorPlan *plan, ErrorResult *result);

#endif
