#include "tests/crash/errors.h"

#include "tests/crash/judge.h"
#include "tests/crash/random.h"
#include "tests/crash/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MANY_FAILURES = 5, AFTERWARDS = 20, ERRORS_IN_A_ROW = 3 };

/* One kind of trouble. */
typedef struct Trouble {
  const char *name;
  unsigned kinds; /* of calls that fail; 0: the disk is full */
  int err;
  bool lasting; /* until three operations have failed */
  bool silent;  /* need not be told: a hint, or tried again */
} Trouble;

static const Trouble troubles[] = {
    {"EIO from a write", MEM_PWRITEV | MEM_ZERO | MEM_RESIZE, EIO, false, false},
    {"EIO from writes", MEM_PWRITEV | MEM_ZERO | MEM_RESIZE, EIO, true, false},
    {"ENOSPC from a write", MEM_PWRITEV | MEM_ZERO | MEM_RESIZE, ENOSPC, false, true},
    {"ENOSPC from writes", MEM_PWRITEV | MEM_ZERO | MEM_RESIZE, ENOSPC, true, true},
    {"EIO from a flush", MEM_FLUSH, EIO, false, false},
    {"EIO from flushes", MEM_FLUSH, EIO, true, false},
    {"EIO from everything", MEM_ALL & ~MEM_DISCARD, EIO, true, false},
    {"EIO from a read", MEM_PREADV, EIO, false, false},
    {"EIO from a discard", MEM_DISCARD, EIO, false, true},
};

static const Trouble full = {"a full disk", 0, ENOSPC, true, true};

/* One run of the script: what fails in which file, and when. */
typedef struct Run {
  const Origin *origin;
  const ErrorPlan *plan;
  const Trouble *trouble;
  unsigned file;
  uint64_t nth; /* the call that fails; of a full disk: for how many sectors there is room */
} Run;

static void make_trouble(Session *s, const Run *run, uint64_t nth)
{
  BgChild *file = s->files.of[run->file];
  if (run->trouble->kinds)
    mem_child_fail(file, run->trouble->kinds, nth, run->trouble->err, run->trouble->lasting);
  else
    mem_child_set_capacity(file, (uint64_t)file->ops->size(file) + (nth - 1) * 512);
}

static void end_trouble(Session *s, const Run *run)
{
  BgChild *file = s->files.of[run->file];
  mem_child_fail(file, 0, 0, 0, false);
  mem_child_set_capacity(file, MEM_CHILD_MAX);
}

static bool has_failed(Session *s, const Run *run)
{
  return mem_child_has_failed(s->files.of[run->file]);
}

/* The image at this moment, as a kill would leave it and as power cuts would. */
static bool judge_now(Session *s, Replay *replay, uint64_t seed, GError **error)
{
  JudgeTask task = {.cut = record_length(s->record)};
  replay_advance(replay, task.cut);
  for (int how = 0; how < POWER_CUTS; how++) {
    g_auto(CrashFiles) files = replay_state(replay, (PowerCut)how, random_mix(seed, (uint64_t)how));
    if (!judge_cut(s, &files, &task, error)) {
      g_prefix_error(error, "after a cut (%s): ", power_cut_name((PowerCut)how));
      return false;
    }
  }
  return true;
}

/* A step has failed: rightly so? And what did it leave behind? */
static bool judge_failure(Session *s, Replay *replay, Step *step, const Run *run, bool expected, GError **error)
{
  end_trouble(s, run);
  if (!expected || step->rc != -run->trouble->err) {
    bg_set_error(error, EILSEQ, "%s gives %s%s", step->text, strerror(-step->rc),
                 expected ? "" : " though nothing failed any more");
    step_clear(step);
    return false;
  }
  if (session_settle(s, step, error) && session_check(s, error) && judge_now(s, replay, s->random, error))
    return true;
  g_prefix_error(error, "%s: ", step->text);
  return false;
}

/* Large clusters cost time: there less must do. */
static unsigned operations_of(const Run *run)
{
  unsigned wanted = run->plan->operations, usual = run->origin->format->operations;
  return usual < wanted / 2 ? usual : wanted;
}

/* Makes steps while the trouble lasts; *told if the node told of it. */
static bool run_steps(Session *s, const Run *run, bool *told, GError **error)
{
  const Trouble *trouble = run->trouble;
  unsigned failed = 0, most = trouble->lasting ? ERRORS_IN_A_ROW : 1;
  bool missed = false;
  g_autoptr(Replay) replay = replay_new(s->record, &s->origin->files);
  while (s->steps < operations_of(run)) {
    Step step;
    bool before = trouble->kinds && has_failed(s, run);
    unsigned warnings = shim_warnings(s->shim);
    if (!session_step(s, &step, error)) {
      step_clear(&step);
      return false;
    }
    bool now = !trouble->kinds || (!before && has_failed(s, run));
    if (run->plan->only >= 0)
      printf("  %5zu %s: %d%s\n", step.begin, step.text, step.rc, now && trouble->kinds ? ", a call failed" : "");
    if (step.rc == 0) {
      missed |= now && trouble->kinds && !step.forgiving && shim_warnings(s->shim) == warnings;
      step_clear(&step);
      continue;
    }
    *told = true;
    if (!judge_failure(s, replay, &step, run, failed < most && (!trouble->kinds || now || before), error))
      return false;
    if (++failed < most)
      make_trouble(s, run, 1);
  }
  end_trouble(s, run);
  if (!missed || trouble->silent || *told)
    return true;
  bg_set_error(error, EILSEQ, "nobody was told that a call failed");
  return false;
}

static void print_step(const Step *step)
{
  printf("  %5zu %s: %d\n", step->begin, step->text, step->rc);
}

/* The trouble is over: everything works again, also after reopening. */
static bool judge_afterwards(Session *s, bool verbose, GError **error)
{
  CrashCount count;
  for (int i = 0; i < 2; i++) {
    if (!session_set_writable(s, false, error) || !session_check(s, error) ||
        !judge_image(s, s->shim, &s->files, &count, error) || !session_reopen(s, error) ||
        !session_set_writable(s, true, error))
      return false;
    if (!session_run(s, AFTERWARDS, verbose ? print_step : NULL, error))
      return false;
  }
  return session_set_writable(s, false, error) && session_check(s, error) &&
         judge_image(s, s->shim, &s->files, &count, error);
}

static void report(const Run *run, int64_t number, const GError *error)
{
  const char *name = run->origin->format->name;
  if (run->plan->fault)
    return;
  printf("  %s: %s%s, the %" PRIu64 ".: %s\n", name, run->trouble->name, run->file ? " of the data file" : "", run->nth,
         error->message);
  printf("  see it again: tests/crash/lab --config=%s --seed=%" PRIu64 " --stride=%u --error=%" PRId64 "\n", name,
         run->plan->seed, run->plan->stride, number);
}

static void run_one(const Run *run, ErrorResult *result)
{
  g_autoptr(GError) error = NULL;
  bool verbose = run->plan->only >= 0, told = false;
  int64_t number = (int64_t)result->runs++;
  if (verbose && number != run->plan->only)
    return;
  g_autoptr(Session) s = session_new(run->origin, &error);
  if (s && run->plan->fault)
    record_plant(s->record, run->plan->fault, run->file);
  if (s)
    make_trouble(s, run, run->nth);
  if (s && run_steps(s, run, &told, &error)) {
    judge_afterwards(s, verbose, &error);
    if (error)
      g_prefix_error(&error, "after it was over: ");
  }
  result->told += told;
  if (!error)
    return;
  result->failures++;
  report(run, number, error);
}

/* How many calls of those kinds the script makes to the file. */
static uint64_t count_calls(const Run *run)
{
  g_autoptr(Session) s = session_new(run->origin, NULL);
  if (!s)
    return 1; /* run_one() tells why */
  BgChild *file = s->files.of[run->file];
  mem_child_reset_counts(file);
  session_run(s, operations_of(run), NULL, NULL);
  return mem_child_count(file, run->trouble->kinds);
}

static void run_file(const Origin *origin, const ErrorPlan *plan, unsigned file, ErrorResult *result)
{
  Run run = {.origin = origin, .plan = plan, .file = file};
  for (size_t i = 0; i < G_N_ELEMENTS(troubles) && result->failures < MANY_FAILURES; i++) {
    run.trouble = &troubles[i];
    uint64_t calls = count_calls(&run);
    for (run.nth = 1 + i % plan->stride; run.nth <= calls && result->failures < MANY_FAILURES; run.nth += plan->stride)
      run_one(&run, result);
  }
  run.trouble = &full;
  for (run.nth = 1; run.nth < 400 && result->failures < MANY_FAILURES; run.nth += 7 * plan->stride)
    run_one(&run, result);
}

bool errors_run(const CrashFormat *format, const ErrorPlan *plan, ErrorResult *result)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Origin) origin = origin_new(format, plan->seed, &error);
  *result = (ErrorResult){0};
  if (!origin && bg_error_errno(error) == ENOPKG)
    return false;
  if (!origin) {
    printf("  %s: the script with seed %" PRIu64 " fails: %s\n", format->name, plan->seed, error->message);
    result->failures++;
    return true;
  }
  for (unsigned file = 0; file < CRASH_FILES; file++)
    if (origin->files.of[file])
      run_file(origin, plan, file, result);
  return true;
}
