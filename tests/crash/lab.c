/* The crash laboratory: runs scripts on formats and looks at what power cuts and I/O errors leave. Without arguments a small
 * part of it, behind the proof that its judges notice what is planted. The last line is N passed, N failed, N skipped; each
 * configuration is a test of power cuts and one of errors. */
#include "tests/crash/errors.h"
#include "tests/crash/power.h"
#include "tests/crash/self-test.h"

#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

static const CrashFormat *const formats[] = {crash_qcow2};

typedef struct Arguments {
  int64_t states, seed, foreign, cut, error;
  int stride, operations;
  char *config, *how;
  gboolean list, verbose, self_test;
} Arguments;

typedef struct Totals {
  unsigned passed, failed, skipped, configurations;
  PowerResult power;
  ErrorResult errors;
} Totals;

static const char summary[] =
    "Runs random scripts on images in memory and judges what accidents leave: power cuts behind each call that reached "
    "the\n"
    "files (all that was not flushed arrived, nothing, some calls, or some sectors; of each file by itself where the "
    "data\n"
    "lies in one of its own), and each call failing in turn. Judged by: our own count of all references and the "
    "header's\n"
    "marks, the driver's check, qemu-img check now and then, and what the disk, its snapshots and its bitmaps show.\n"
    "Judges that disagree are a failure. Without arguments: the self-test, 500 states, and some errors.";

static bool parse(int *argc, char ***argv, Arguments *a)
{
  const GOptionEntry entries[] = {
      {"states", 0, 0, G_OPTION_ARG_INT64, &a->states, "Look at N states after power cuts, over all configurations",
       "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &a->seed, "Begin the scripts with S", "S"},
      {"foreign", 0, 0, G_OPTION_ARG_INT64, &a->foreign,
       "Have qemu-img judge every Nth state, too (1: all; 0: none; default 25); our own judges look at all", "N"},
      {"stride", 0, 0, G_OPTION_ARG_INT, &a->stride, "Let every Nth call fail; 0: none", "N"},
      {"operations", 0, 0, G_OPTION_ARG_INT, &a->operations, "Length of the scripts with errors", "N"},
      {"config", 0, 0, G_OPTION_ARG_STRING, &a->config, "Only the configuration NAME", "NAME"},
      {"cut", 0, 0, G_OPTION_ARG_INT64, &a->cut, "Only the power cut behind call N", "N"},
      {"how", 0, 0, G_OPTION_ARG_STRING, &a->how, "And of what came after the flush: all, none, subset or torn", "HOW"},
      {"error", 0, 0, G_OPTION_ARG_INT64, &a->error, "Only the run with errors of that number", "N"},
      {"self-test", 0, 0, G_OPTION_ARG_NONE, &a->self_test,
       "Only plant wrong drivers and broken images, and see that each judge notices", NULL},
      {"list", 0, 0, G_OPTION_ARG_NONE, &a->list, "List the configurations", NULL},
      {"verbose", 0, 0, G_OPTION_ARG_NONE, &a->verbose, "Print the scripts", NULL},
      {0},
  };
  g_autoptr(GError) error = NULL;
  GOptionContext *context = g_option_context_new(NULL);
  g_option_context_set_summary(context, summary);
  g_option_context_add_main_entries(context, entries, NULL);
  bool good = g_option_context_parse(context, argc, argv, &error) && *argc == 1;
  g_option_context_free(context);
  PowerCut how;
  if (good && a->states >= 0 && a->foreign >= 0 && a->stride >= 0 && a->operations > 0 && power_cut_parse(a->how, &how))
    return true;
  fprintf(stderr, "lab: %s (see --help)\n", error ? error->message : "unfit arguments");
  return false;
}

static void count(Totals *totals, bool tried, uint64_t failures)
{
  totals->skipped += !tried;
  totals->passed += tried && !failures;
  totals->failed += tried && failures;
}

static void run_power(const CrashFormat *format, const Arguments *a, Totals *totals)
{
  PowerPlan plan = {.seed = (uint64_t)a->seed,
                    .states = a->cut >= 0 ? 1 : MAX((uint64_t)a->states / totals->configurations, 1),
                    .foreign = (uint64_t)a->foreign,
                    .one = a->cut >= 0,
                    .cut = (size_t)MAX(a->cut, 0),
                    .verbose = a->verbose};
  power_cut_parse(a->how, &plan.how);
  PowerResult one;
  bool tried = power_run(format, &plan, &one);
  printf("%s power cuts, %s: %" PRIu64 " states, %" PRIu64 " of them judged by qemu-img, too, %" PRIu64
         " written to afterwards\n",
         !tried         ? "skip"
         : one.failures ? "FAIL"
                        : "ok",
         format->name, one.states, one.foreign, one.written);
  count(totals, tried, one.failures);
  totals->power.states += one.states;
  totals->power.foreign += one.foreign;
  totals->power.written += one.written;
}

static void run_errors(const CrashFormat *format, const Arguments *a, Totals *totals)
{
  ErrorPlan plan = {.seed = (uint64_t)a->seed,
                    .operations = (unsigned)a->operations,
                    .stride = (unsigned)a->stride,
                    .only = a->error};
  ErrorResult one;
  bool tried = errors_run(format, &plan, &one);
  printf("%s I/O errors, %s: %" PRIu64 " runs, %" PRIu64 " told at once\n",
         !tried         ? "skip"
         : one.failures ? "FAIL"
                        : "ok",
         format->name, one.runs, one.told);
  count(totals, tried, one.failures);
  totals->errors.runs += one.runs;
}

static void run_all(const Arguments *a, Totals *totals)
{
  for (size_t i = 0; i < G_N_ELEMENTS(formats); i++)
    for (const CrashFormat *format = formats[i]; format->name; format++) {
      if (a->config && strcmp(a->config, format->name) != 0)
        continue;
      if (a->states && a->error < 0)
        run_power(format, a, totals);
      if (a->stride && a->cut < 0)
        run_errors(format, a, totals);
      fflush(stdout);
    }
}

/* What has been planted is looked for where a whole run is asked for. */
static void run_self_test(Totals *totals)
{
  for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
    SelfTestResult result;
    self_test_run(formats[i], &result);
    printf("%s self-test: %u planted faults noticed, %u not\n", result.failed ? "FAIL" : "ok", result.passed,
           result.failed);
    totals->passed += result.passed;
    totals->failed += result.failed;
    totals->skipped += result.skipped;
    fflush(stdout);
  }
}

int main(int argc, char **argv)
{
  Arguments a = {.states = 500,
                 .seed = 1,
                 .foreign = 25,
                 .stride = 240,
                 .operations = 200,
                 .cut = -1,
                 .error = -1,
                 .how = g_strdup("all")};
  Totals totals = {0};
  mallopt(M_MMAP_THRESHOLD, 1 << 30); /* whole disks come and go: their memory is kept, for new pages cost more than */
  mallopt(M_TRIM_THRESHOLD, INT_MAX); /* what is done with them */
  if (!parse(&argc, &argv, &a))
    return 2;
  for (size_t i = 0; i < G_N_ELEMENTS(formats); i++)
    for (const CrashFormat *format = formats[i]; format->name; format++) {
      totals.configurations += !a.config || strcmp(a.config, format->name) == 0;
      if (a.list)
        puts(format->name);
    }
  if (!a.list && !totals.configurations)
    fprintf(stderr, "lab: there is no configuration '%s' (see --list)\n", a.config);
  if (a.list || !totals.configurations)
    return a.list ? 0 : 2;
  if (a.self_test || (!a.config && a.cut < 0 && a.error < 0))
    run_self_test(&totals);
  if (!a.self_test)
    run_all(&a, &totals);
  printf("%" PRIu64 " power cut states, %" PRIu64 " runs with I/O errors\n", totals.power.states, totals.errors.runs);
  printf("%u passed, %u failed, %u skipped\n", totals.passed, totals.failed, totals.skipped);
  g_free(a.config);
  g_free(a.how);
  return totals.failed || !totals.passed;
}
