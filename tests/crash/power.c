#include "tests/crash/power.h"

#include "tests/crash/random.h"
#include "tests/crash/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MANY_FAILURES = 5, WRITE_EVERY = 6, FOREIGN_EVERY = 25 };

static bool judge_changes(const Session *s, BgChild *disk, const uint8_t *content, uint64_t size, GError **error)
{
  return !s->format->judge_changes || s->format->judge_changes(s->format, disk, s->before, content, size, error);
}

/* Opened read-only, is it sound, and does it read as it may? *content as it was read. */
static bool judge_reading(const Session *s, BgChild *disk, size_t cut, uint8_t **content, uint64_t *size,
                          GError **error)
{
  g_autoptr(Shim) shim = session_open(s, disk, error);
  if (!shim)
    return false;
  *content = session_read_all(s, shim, error);
  *size = (uint64_t)shim_size(shim);
  return *content && shadow_allows(s->shadow, cut, *content, *size, error) &&
         session_allows_snapshots(s, cut, shim, error) && s->format->judge(s->format, disk, error) &&
         judge_changes(s, disk, *content, *size, error);
}

bool power_judge(const Session *s, Replay *replay, size_t cut, PowerCut how, uint64_t seed, GError **error)
{
  g_autoptr(BgChild) disk = replay_state(replay, how, seed);
  g_autofree uint8_t *content = NULL;
  uint64_t size;
  return judge_reading(s, disk, cut, &content, &size, error);
}

/* Writes to the disk here and there, closes it, and judges it again. */
static bool judge_writing(const Session *s, BgChild *disk, size_t cut, uint8_t *content, uint64_t size, uint64_t seed,
                          GError **error)
{
  g_autoptr(Shim) shim = session_open(s, disk, error);
  if (!shim || !shim_set_writable(shim, true, error)) {
    g_prefix_error(error, "cannot be written any more: ");
    return false;
  }
  for (int i = 0; i < 8 && size > s->format->step; i++) {
    uint64_t offset = random_below(&seed, size - s->format->step);
    memset(content + offset, (int)random_below(&seed, 256), s->format->step);
    int rc = shim_write(shim, content + offset, s->format->step, offset);
    if (rc < 0) {
      bg_set_error_errno(error, -rc, "cannot be written any more");
      return false;
    }
  }
  g_autofree uint8_t *seen = shim_set_writable(shim, false, error) ? session_read_all(s, shim, error) : NULL;
  if (!seen || !session_allows_snapshots(s, cut, shim, error) || !s->format->judge(s->format, disk, error))
    return false;
  if (memcmp(seen, content, size) != 0)
    bg_set_error(error, EILSEQ, "reads as something else after it was written to");
  return memcmp(seen, content, size) == 0 && judge_changes(s, disk, seen, size, error);
}

static bool judge_state(const Session *s, Replay *replay, size_t cut, PowerCut how, uint64_t seed, bool all,
                        PowerResult *result, GError **error)
{
  g_autoptr(BgChild) disk = replay_state(replay, how, seed);
  g_autofree uint8_t *content = NULL;
  uint64_t size, number = result->states++;
  if (!judge_reading(s, disk, cut, &content, &size, error))
    return false;
  if (all || number % FOREIGN_EVERY == 0) {
    result->foreign++;
    if (!s->format->judge_foreign(s->format, disk, error))
      return false;
  }
  if (!all && number % WRITE_EVERY != 0)
    return true;
  result->written++;
  return judge_writing(s, disk, cut, content, size, seed, error);
}

static void report(const Session *s, uint64_t seed, size_t cut, PowerCut how, const GError *error)
{
  printf("  %s: after call %zu of %zu, %s: %s\n", s->format->name, cut, record_length(s->record), power_cut_name(how),
         error->message);
  printf("  see it again: tests/crash/lab --config=%s --seed=%" PRIu64 " --cut=%zu --how=%s\n", s->format->name, seed,
         cut, power_cut_name(how));
}

static void try_state(const Session *s, Replay *replay, uint64_t seed, size_t cut, PowerCut how, bool all,
                      PowerResult *result)
{
  g_autoptr(GError) error = NULL;
  if (judge_state(s, replay, cut, how, random_mix(seed, cut * POWER_CUTS + how), all, result, &error))
    return;
  result->failures++;
  report(s, seed, cut, how, error);
}

/* Every `stride`-th cut of the record. What is lost whole differs only where a flush came. */
static void look_at(const Session *s, uint64_t seed, size_t stride, uint64_t most, PowerResult *result)
{
  g_autoptr(Replay) replay = replay_new(s->record, s->start, s->start_size);
  size_t flushed = SIZE_MAX;
  uint64_t until = result->states + most;
  for (size_t cut = seed % stride; cut <= record_length(s->record) && result->states < until; cut += stride) {
    replay_advance(replay, cut);
    for (int how = 0; how < POWER_CUTS && result->failures < MANY_FAILURES; how++)
      if (how != POWER_CUT_NONE || flushed != replay_flushed(replay))
        try_state(s, replay, seed, cut, (PowerCut)how, false, result);
    flushed = replay_flushed(replay);
  }
}

/* A whole script; NULL and error where the node fails in it, or cannot be made. */
static Session *run_script(const CrashFormat *format, uint64_t seed, bool verbose, GError **error)
{
  g_autoptr(Session) s = session_new(format, seed, error);
  for (unsigned i = 0; s && i < format->operations; i++) {
    Step step;
    if (!session_step(s, &step, error))
      return NULL;
    step_clear(&step);
    if (verbose)
      printf("  %5zu %s\n", step.begin, step.text);
    if (step.rc < 0) {
      bg_set_error_errno(error, -step.rc, "%s", step.text);
      return NULL;
    }
  }
  return g_steal_pointer(&s);
}

static void look_at_one(const Session *s, const PowerPlan *plan, PowerResult *result)
{
  g_autoptr(Replay) replay = replay_new(s->record, s->start, s->start_size);
  size_t cut = MIN(plan->cut, record_length(s->record));
  replay_advance(replay, cut);
  try_state(s, replay, plan->seed, cut, plan->how, true, result);
}

bool power_run(const CrashFormat *format, const PowerPlan *plan, PowerResult *result)
{
  *result = (PowerResult){0};
  for (uint64_t round = 0; result->states < plan->states && result->failures < MANY_FAILURES; round++) {
    g_autoptr(GError) error = NULL;
    uint64_t seed = plan->seed + round, left = plan->states - result->states;
    g_autoptr(Session) s = run_script(format, seed, plan->verbose, &error);
    if (!s && bg_error_errno(error) == ENOPKG) {
      printf("  %s: %s\n", format->name, error->message);
      return false;
    }
    if (!s) {
      result->failures++;
      printf("  %s: the script with seed %" PRIu64 " fails: %s\n", format->name, seed, error->message);
    } else if (plan->one) {
      look_at_one(s, plan, result);
      return true;
    } else {
      look_at(s, seed, MAX(record_length(s->record) * 3 / left, 1), left, result);
    }
  }
  return true;
}
