#include "graph/jobs/walk.h"

#include "graph/jobs/copy.h"
#include "graph/node.h"

int bg_walk_look(BgUser *user, uint64_t offset, BgMapped *seen)
{
  uint64_t past = offset - seen->start;
  if (offset < seen->start || past >= seen->length)
    return bg_user_map(user, offset, seen);
  seen->start = offset;
  seen->length -= past;
  seen->offset += past;
  return 0;
}

/* Moves *offset past one step. `first`: the error that was passed over. */
static bool go_one_step(BgJob *job, const BgWalk *walk, void *work, BgWalkStep *step, int *first, GError **error)
{
  int result = walk->step(job, work, step);
  BgCopyVerdict verdict = BG_COPY_PAST;
  if (result)
    verdict = bg_copy_failed(job, walk->on_error, step->reading, result, first, error);
  if (verdict == BG_COPY_FAILS)
    return false;
  if (verdict == BG_COPY_AGAIN)
    return true;
  step->offset += step->length;
  bg_job_advance(job, step->length);
  return step->moved ? bg_job_throttle(job, step->length) : bg_job_go_on(job);
}

static bool go_all_steps(BgJob *job, const BgWalk *walk, void *work, uint64_t size, int *first, GError **error)
{
  g_autofree void *buffer = g_malloc(walk->piece);
  BgWalkStep step = {.buffer = buffer};
  while (step.offset < size) {
    step.length = MIN(walk->piece, size - step.offset);
    step.reading = true;
    step.moved = false;
    if (!go_one_step(job, walk, work, &step, first, error))
      return false;
  }
  return true;
}

bool bg_walk(BgJob *job, const BgWalk *walk, void *work, GError **error)
{
  int64_t size = bg_node_size(walk->disk);
  int first = 0;
  if (size < 0) {
    bg_set_error_errno(error, (int)-size, "node '%s': its size is not known", walk->disk->name);
    return false;
  }
  bg_job_set_total(job, (uint64_t)size);
  if (!go_all_steps(job, walk, work, (uint64_t)size, &first, error))
    return false;
  int result = first ? first : bg_user_flush(walk->to);
  if (result)
    bg_set_error_errno(error, -result, "node '%s': not all was written", bg_node_name(bg_user_node(walk->to)));
  return result == 0;
}
