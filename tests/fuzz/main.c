/* Runs a fuzz target on files and on the files in folders. An input passes if the target comes back within two seconds of
 * processor time. The last line is N passed, N failed, N skipped. */
#include "tests/fuzz/fuzz.h"

#include <glib.h>
#include <stdio.h>
#include <time.h>

enum { LIMIT_SECONDS = 2 };

typedef struct Totals {
  unsigned passed, failed, skipped;
} Totals;

static double processor_seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_file(const char *path, Totals *totals)
{
  g_autofree char *bytes = NULL;
  size_t size;
  if (!g_file_get_contents(path, &bytes, &size, NULL)) {
    printf("FAIL %s: cannot be read\n", path);
    totals->failed++;
    return;
  }
  /* A copy of its own size, so that a sanitizer sees who reads behind its end. */
  g_autofree uint8_t *data = g_memdup2(bytes, size);
  double begin = processor_seconds();
  LLVMFuzzerTestOneInput(data, size);
  double seconds = processor_seconds() - begin;
  if (seconds > LIMIT_SECONDS)
    printf("FAIL %s: took %.1f s\n", path, seconds);
  totals->failed += seconds > LIMIT_SECONDS;
  totals->passed += seconds <= LIMIT_SECONDS;
}

static void run_path(const char *path, Totals *totals)
{
  GDir *dir = g_file_test(path, G_FILE_TEST_IS_DIR) ? g_dir_open(path, 0, NULL) : NULL;
  if (!dir) {
    run_file(path, totals);
    return;
  }
  for (const char *name; (name = g_dir_read_name(dir));) {
    g_autofree char *file = g_build_filename(path, name, NULL);
    run_file(file, totals);
  }
  g_dir_close(dir);
}

int main(int argc, char **argv)
{
  Totals totals = {0};
  for (int i = 1; i < argc; i++)
    run_path(argv[i], &totals);
  printf("%u passed, %u failed, %u skipped\n", totals.passed, totals.failed, totals.skipped);
  return totals.failed || !totals.passed;
}
