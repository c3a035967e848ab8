#include "tests/crash/power.h"

#include "tests/crash/judge.h"
#include "tests/crash/random.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { MANY_FAILURES = 5, WRITE_EVERY = 6, COMPARE_EVERY = 4 };

static void report(const Session *s, const PowerPlan *plan, uint64_t seed, size_t cut, PowerCut how,
                   const GError *error)
{
  const char *name = s->origin->format->name;
  if (plan->fault)
    return;
  printf("  %s: after call %zu of %zu, %s: %s\n", name, cut, record_length(s->record), power_cut_name(how),
         error->message);
  printf("  see it again: tests/crash/lab --config=%s --seed=%" PRIu64 " --cut=%zu --how=%s\n", name, seed, cut,
         power_cut_name(how));
}

/* What is looked at in the state that comes now. */
static JudgeTask task_for(const PowerPlan *plan, size_t cut, uint64_t seed, const PowerResult *result)
{
  bool foreign = plan->one || (plan->foreign && result->states % plan->foreign == 0);
  return (JudgeTask){.cut = cut,
                     .foreign = foreign,
                     .compare = plan->one || (foreign && result->foreign % COMPARE_EVERY == 0),
                     .write = plan->one || result->states % WRITE_EVERY == 0,
                     .seed = seed};
}

static void try_state(const Session *s, Replay *replay, const PowerPlan *plan, uint64_t seed, size_t cut, PowerCut how,
                      PowerResult *result)
{
  g_autoptr(GError) error = NULL;
  uint64_t own = random_mix(seed, cut * POWER_CUTS + how);
  JudgeTask task = task_for(plan, cut, own, result);
  g_auto(CrashFiles) files = replay_state(replay, how, own);
  result->states++;
  result->foreign += task.foreign;
  result->written += task.write;
  if (judge_cut(s, &files, &task, &error))
    return;
  result->failures++;
  report(s, plan, seed, cut, how, error);
}

/* Every `stride`-th cut of the record. What is lost whole differs only where a flush came. */
static void look_at(const Session *s, const PowerPlan *plan, uint64_t seed, PowerResult *result)
{
  g_autoptr(Replay) replay = replay_new(s->record, &s->origin->files);
  size_t flushed = SIZE_MAX, stride = MAX(record_length(s->record) * 3 / (plan->states - result->states), (size_t)1);
  for (size_t cut = seed % stride; cut <= record_length(s->record) && result->states < plan->states; cut += stride) {
    replay_advance(replay, cut);
    for (int how = 0; how < POWER_CUTS && result->failures < MANY_FAILURES; how++)
      if (how != POWER_CUT_NONE || flushed != replay_flushed(replay))
        try_state(s, replay, plan, seed, cut, (PowerCut)how, result);
    flushed = replay_flushed(replay);
  }
}

static void look_at_one(const Session *s, const PowerPlan *plan, PowerResult *result)
{
  g_autoptr(Replay) replay = replay_new(s->record, &s->origin->files);
  size_t cut = MIN(plan->cut, record_length(s->record));
  replay_advance(replay, cut);
  try_state(s, replay, plan, plan->seed, cut, plan->how, result);
}

static void print_step(const Step *step)
{
  printf("  %5zu %s\n", step->begin, step->text);
}

/* A whole script; NULL and error where the node fails in it. */
static Session *run_script(const Origin *origin, const PowerPlan *plan, GError **error)
{
  g_autoptr(Session) s = session_new(origin, error);
  if (s && plan->fault)
    record_plant(s->record, plan->fault, plan->fault_file);
  return s && session_run(s, origin->format->operations, plan->verbose ? print_step : NULL, error) ? g_steal_pointer(&s)
                                                                                                   : NULL;
}

/* A script and its states. False: the configuration cannot be tried. */
static bool run_round(const CrashFormat *format, const PowerPlan *plan, uint64_t seed, PowerResult *result)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Origin) origin = origin_new(format, seed, &error);
  g_autoptr(Session) s = origin ? run_script(origin, plan, &error) : NULL;
  if (s && plan->one)
    look_at_one(s, plan, result);
  else if (s)
    look_at(s, plan, seed, result);
  if (s)
    return true;
  bool missing = bg_error_errno(error) == ENOPKG;
  if (missing)
    printf("  %s: %s\n", format->name, error->message);
  else
    printf("  %s: the script with seed %" PRIu64 " fails: %s\n", format->name, seed, error->message);
  result->failures += !missing;
  return !missing;
}

bool power_run(const CrashFormat *format, const PowerPlan *plan, PowerResult *result)
{
  *result = (PowerResult){0};
  for (uint64_t round = 0; result->states < plan->states && result->failures < MANY_FAILURES; round++)
    if (!run_round(format, plan, plan->seed + round, result))
      return false;
  return true;
}
