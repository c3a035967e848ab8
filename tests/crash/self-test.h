/* Proof that the laboratory notices: drivers that are wrong and images that are broken are planted, and each judge has to speak. */
#ifndef CRASH_SELF_TEST_H
#define CRASH_SELF_TEST_H

#include "tests/crash/format.h"

typedef struct SelfTestResult {
  unsigned passed, failed, skipped;
} SelfTestResult;

/* With the configurations of `formats`; prints a line for each that fails. */
void self_test_run(const CrashFormat *formats, SelfTestResult *result);

#endif
