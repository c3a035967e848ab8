/* A fuzz target is one function, as libFuzzer wants it. Linked with -fsanitize=fuzzer it is fuzzed; linked with main.c it takes its
 * inputs from files: for the corpus of past findings, and for AFL++ (afl-fuzz … -- TARGET @@). */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Always 0. Aborts where a promise is broken. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
