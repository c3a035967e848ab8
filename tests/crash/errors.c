#include "tests/crash/errors.h"

#include "tests/crash/power.h"
#include "tests/crash/random.h"
#include "tests/crash/session.h"

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

static void make_trouble(Session *s, const Trouble *trouble, uint64_t nth)
{
  mem_child_fail(s->file, trouble->kinds, nth, trouble->err, trouble->lasting);
}

static void end_trouble(Session *s)
{
  mem_child_fail(s->file, 0, 0, 0, false);
  mem_child_set_capacity(s->file, MEM_CHILD_MAX);
}

/* The image at this moment, as a kill would leave it and as power cuts would. */
static bool judge_now(Session *s, uint64_t seed, GError **error)
{
  g_autoptr(Replay) replay = replay_new(s->record, s->start, s->start_size);
  size_t cut = record_length(s->record);
  replay_advance(replay, cut);
  for (int how = 0; how < POWER_CUTS; how++)
    if (!power_judge(s, replay, cut, (PowerCut)how, random_mix(seed, (uint64_t)how), error)) {
      g_prefix_error(error, "after a cut (%s): ", power_cut_name((PowerCut)how));
      return false;
    }
  return true;
}

/* A step has failed: rightly so? And what did it leave behind? */
static bool judge_failure(Session *s, Step *step, const Trouble *trouble, bool expected, GError **error)
{
  end_trouble(s);
  if (!expected || step->rc != -trouble->err) {
    bg_set_error(error, EILSEQ, "%s gives %s%s", step->text, strerror(-step->rc),
                 expected ? "" : " though nothing failed any more");
    step_clear(step);
    return false;
  }
  if (session_settle(s, step, error) && session_check(s, error) && judge_now(s, s->random, error))
    return true;
  g_prefix_error(error, "%s: ", step->text);
  return false;
}

/* Makes steps while the trouble lasts; *told if the node told of it. */
static bool run_steps(Session *s, const Trouble *trouble, unsigned operations, bool verbose, bool *told, GError **error)
{
  unsigned failed = 0, most = trouble->lasting ? ERRORS_IN_A_ROW : 1;
  bool missed = false;
  while (s->steps < operations) {
    Step step;
    bool before = trouble->kinds && mem_child_has_failed(s->file);
    if (!session_step(s, &step, error)) {
      step_clear(&step);
      return false;
    }
    bool now = !trouble->kinds || (!before && mem_child_has_failed(s->file));
    if (verbose)
      printf("  %5zu %s: %d%s\n", step.begin, step.text, step.rc, now && trouble->kinds ? ", a call failed" : "");
    if (step.rc == 0) {
      missed |= now && trouble->kinds && !step.forgiving;
      step_clear(&step);
      continue;
    }
    *told = true;
    if (!judge_failure(s, &step, trouble, failed < most && (!trouble->kinds || now || before), error))
      return false;
    if (++failed < most)
      make_trouble(s, trouble, 1);
  }
  end_trouble(s);
  if (!missed || trouble->silent || *told)
    return true;
  bg_set_error(error, EILSEQ, "nobody was told that a call failed");
  return false;
}

/* The trouble is over: everything works again, also after reopening. */
static bool judge_afterwards(Session *s, bool verbose, GError **error)
{
  for (int i = 0; i < 2; i++) {
    if (!session_set_writable(s, false, error) || !session_check(s, error) ||
        !s->format->judge(s->format, s->file, error))
      return false;
    g_clear_pointer(&s->shim, shim_close);
    s->shim = session_open(s, s->record, error);
    if (!s->shim || !session_set_writable(s, true, error))
      return false;
    for (int j = 0; j < AFTERWARDS; j++) {
      Step step;
      if (!session_step(s, &step, error))
        return false;
      step_clear(&step);
      if (verbose)
        printf("  %5zu %s: %d\n", step.begin, step.text, step.rc);
      if (step.rc < 0) {
        bg_set_error_errno(error, -step.rc, "%s", step.text);
        return false;
      }
    }
  }
  return session_set_writable(s, false, error) && session_check(s, error) &&
         s->format->judge(s->format, s->file, error);
}

/* Large clusters cost time: there less must do. */
static unsigned operations_of(const CrashFormat *format, const ErrorPlan *plan)
{
  return format->operations < plan->operations / 2 ? format->operations : plan->operations;
}

/* False: the configuration cannot be tried. */
static bool run_one(const CrashFormat *format, const ErrorPlan *plan, const Trouble *trouble, uint64_t nth,
                    ErrorResult *result)
{
  g_autoptr(GError) error = NULL;
  bool verbose = plan->only >= 0, told = false;
  int64_t number = (int64_t)result->runs++;
  if (verbose && number != plan->only)
    return true;
  g_autoptr(Session) s = session_new(format, plan->seed, &error);
  if (!s && bg_error_errno(error) == ENOPKG)
    return false;
  if (s && trouble->kinds)
    make_trouble(s, trouble, nth);
  else if (s)
    mem_child_set_capacity(s->file, s->start_size + (nth - 1) * 512);
  if (s && run_steps(s, trouble, operations_of(format, plan), verbose, &told, &error)) {
    judge_afterwards(s, verbose, &error);
    if (error)
      g_prefix_error(&error, "after it was over: ");
  }
  result->told += told;
  if (!error)
    return true;
  result->failures++;
  printf("  %s: %s, the %" PRIu64 ".: %s\n", format->name, trouble->name, nth, error->message);
  printf("  see it again: tests/crash/lab --config=%s --seed=%" PRIu64 " --stride=%u --error=%" PRId64 "\n",
         format->name, plan->seed, plan->stride, number);
  return true;
}

/* How many calls of those kinds the script makes. */
static uint64_t count_calls(const CrashFormat *format, const ErrorPlan *plan, unsigned kinds)
{
  g_autoptr(Session) s = session_new(format, plan->seed, NULL);
  if (!s)
    return 1; /* run_one() tells why */
  mem_child_reset_counts(s->file);
  while (s->steps < operations_of(format, plan)) {
    Step step;
    if (!session_step(s, &step, NULL))
      break;
    step_clear(&step);
  }
  return mem_child_count(s->file, kinds);
}

bool errors_run(const CrashFormat *format, const ErrorPlan *plan, ErrorResult *result)
{
  static const Trouble full = {"a full disk", 0, ENOSPC, true, true};
  *result = (ErrorResult){0};
  for (size_t i = 0; i < G_N_ELEMENTS(troubles) && result->failures < MANY_FAILURES; i++) {
    uint64_t calls = count_calls(format, plan, troubles[i].kinds);
    for (uint64_t nth = 1 + i % plan->stride; nth <= calls && result->failures < MANY_FAILURES; nth += plan->stride)
      if (!run_one(format, plan, &troubles[i], nth, result))
        return false;
  }
  for (uint64_t sectors = 1; sectors < 400 && result->failures < MANY_FAILURES; sectors += 7 * plan->stride)
    run_one(format, plan, &full, sectors, result);
  return true;
}
