#include "graph/jobs/walk.h"

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

/* A walk on its way. */
typedef struct Progress {
  const BgWalk *walk;
  uint64_t offset, size;
  int first; /* the first error that was passed over */
} Progress;

static int see_to(void *work, BgPiece *piece)
{
  const BgWalk *walk = ((Progress *)work)->walk;
  return walk->see_to(walk->work, piece);
}

static BgCopyVerdict failed(BgJob *job, void *work, const BgPiece *piece, int result, GError **error)
{
  Progress *progress = work;
  BgCopyVerdict verdict =
      bg_copy_failed(job, progress->walk->on_error, piece->reading, result, &progress->first, error);
  if (verdict == BG_COPY_PAST)
    bg_job_advance(job, piece->length);
  return verdict;
}

/* False: the job fails. */
static bool take_step(BgJob *job, BgCrew *crew, Progress *progress, const BgWalkStep *step, GError **error)
{
  if (!step->wanted)
    bg_job_advance(job, step->length);
  else if (!bg_crew_give(crew, progress->offset, step->length, step->zero, error))
    return false;
  progress->offset += step->length;
  return step->wanted && !step->zero ? bg_job_throttle(job, step->length) : bg_job_go_on(job);
}

static bool pass_over(BgJob *job, Progress *progress, uint64_t length, int result, GError **error)
{
  BgCopyVerdict verdict = bg_copy_failed(job, progress->walk->on_error, true, result, &progress->first, error);
  if (verdict == BG_COPY_PAST) {
    bg_job_advance(job, length);
    progress->offset += length;
  }
  return verdict != BG_COPY_FAILS;
}

static bool go_all_steps(BgJob *job, BgCrew *crew, Progress *progress, GError **error)
{
  const BgWalk *walk = progress->walk;
  while (progress->offset < progress->size) {
    BgWalkStep step = {.length = MIN(BG_COPY_PIECE, progress->size - progress->offset)};
    int result = walk->look(job, walk->work, progress->offset, &step);
    bool go_on =
        result ? pass_over(job, progress, step.length, result, error) : take_step(job, crew, progress, &step, error);
    if (!go_on)
      return false;
  }
  return bg_crew_finish(crew, error);
}

bool bg_walk(BgJob *job, const BgWalk *walk, GError **error)
{
  static const BgCrewKind kind = {see_to, failed};
  int64_t size = bg_node_size(walk->disk);
  if (size < 0) {
    bg_set_error_errno(error, (int)-size, "node '%s': its size is not known", walk->disk->name);
    return false;
  }
  Progress progress = {.walk = walk, .size = (uint64_t)size};
  bg_job_set_total(job, progress.size);
  g_autoptr(BgCrew) crew = bg_crew_new(job, &kind, &progress, error);
  if (!crew || !go_all_steps(job, crew, &progress, error))
    return false;
  int result = progress.first ? progress.first : bg_user_flush(walk->to);
  if (result)
    bg_set_error_errno(error, -result, "node '%s': not all was written", bg_node_name(bg_user_node(walk->to)));
  return result == 0;
}
