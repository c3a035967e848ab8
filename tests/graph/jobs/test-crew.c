#include "job-events.h"

#include "graph/jobs/crew.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(crew, .timeout = 60);

#define PIECE UINT64_C(4096)

enum { PIECES = 200 };

/* A job whose pieces are numbers that are counted. */
typedef struct Count {
  uint64_t first, end;           /* pieces to give */
  _Atomic unsigned seen[PIECES]; /* how often each was seen to */
  _Atomic unsigned busy, most;   /* hands at the same time */
  _Atomic bool held;             /* hands wait */
  _Atomic unsigned waiting;      /* that did */
  unsigned fails;                /* this piece (from 1), when it is seen to for the first time */
  bool held_fail;                /* those that were held */
  BgCopyVerdict verdict;         /* then */
  unsigned failures;             /* judged */
  bool stops;                    /* a failure pauses the job */
} Count;

static int see_to(void *work, BgPiece *piece)
{
  Count *count = work;
  unsigned number = (unsigned)(piece->offset / PIECE), busy = ++count->busy, most = count->most;
  while (busy > most && !atomic_compare_exchange_weak(&count->most, &most, busy))
    ;
  cr_assert_eq(piece->length, PIECE);
  cr_assert_not(piece->reading);
  cr_assert_eq(piece->zero, number % 2);
  ((char *)piece->buffer)[BG_COPY_PIECE - 1] = (char)number;
  bool held = count->held;
  count->waiting += held;
  while (count->held)
    g_usleep(1000);
  g_usleep(200);
  cr_assert_eq(((char *)piece->buffer)[BG_COPY_PIECE - 1], (char)number, "two hands have one buffer");
  bool first = ++count->seen[number] == 1;
  piece->reading = true;
  count->busy--;
  return (first && number + 1 == count->fails) || (held && count->held_fail) ? -ENODATA : 0;
}

static BgCopyVerdict failed(BgJob *job, void *work, const BgPiece *piece, int result, GError **error)
{
  Count *count = work;
  cr_assert_eq(result, -ENODATA);
  cr_assert(piece->reading);
  cr_assert(count->held_fail || piece->offset / PIECE + 1 == count->fails);
  count->failures++;
  if (count->stops)
    bg_job_io_failed(job, BG_ON_ERROR_STOP, true, result);
  if (count->verdict == BG_COPY_FAILS)
    bg_set_error_errno(error, -result, "a piece");
  return count->verdict;
}

static bool count_run(BgJob *job, void *work, GError **error)
{
  static const BgCrewKind kind = {see_to, failed};
  Count *count = work;
  g_autoptr(BgCrew) crew = bg_crew_new(job, &kind, count, error);
  cr_assert_not_null(crew);
  for (uint64_t i = count->first; i < count->end; i++)
    if (!bg_crew_give(crew, i * PIECE, PIECE, i % 2, error) || !bg_job_go_on(job))
      return false;
  return bg_crew_finish(crew, error);
}

static void count_clean(void *work)
{
  cr_assert_eq(((Count *)work)->busy, 0, "a hand is still at work");
}

static const BgJobKind count_kind = {.type = "count", .block = true, .run = count_run, .clean = count_clean};

typedef struct Fixture {
  JobEvents events;
  BgGraph *graph;
  BgJob *job;
} Fixture;

static void start(Fixture *fixture, Count *count)
{
  job_events_init(&fixture->events);
  fixture->graph = bg_graph_new(NULL, &job_events_listener, &fixture->events);
  fixture->job = bg_job_start(fixture->graph, &count_kind, &(BgJobSettings){.id = "j"}, count, NULL);
  cr_assert_not_null(fixture->job);
}

/* Waits for the end: `error`, and so many bytes of progress. */
static void finish(Fixture *fixture, int error, uint64_t pieces)
{
  g_auto(BgJobInfo) info;
  job_events_wait(&fixture->events, "null");
  bg_job_info(fixture->job, &info);
  cr_assert_eq(info.error, error);
  cr_assert_eq(info.current, pieces * PIECE);
  bg_job_unref(fixture->job);
  cr_assert(bg_graph_close(fixture->graph, NULL));
  job_events_clear(&fixture->events);
}

static void wait_for_hands(const Count *count, unsigned waiting)
{
  while (count->waiting < waiting)
    g_usleep(1000);
}

Test(crew, sees_to_each_piece_once_and_to_several_at_a_time)
{
  Fixture fixture;
  Count count = {.end = PIECES};
  start(&fixture, &count);
  finish(&fixture, 0, PIECES);
  for (unsigned i = 0; i < PIECES; i++)
    cr_assert_eq(count.seen[i], 1, "piece %u", i);
  cr_assert_gt(count.most, 1);
}

Test(crew, sees_to_a_failed_piece_again)
{
  Fixture fixture;
  Count count = {.end = PIECES, .fails = 7, .verdict = BG_COPY_AGAIN};
  start(&fixture, &count);
  finish(&fixture, 0, PIECES);
  for (unsigned i = 0; i < PIECES; i++)
    cr_assert_eq(count.seen[i], i + 1 == count.fails ? 2 : 1, "piece %u", i);
}

Test(crew, passes_over_a_failed_piece)
{
  Fixture fixture;
  Count count = {.end = PIECES, .fails = PIECES, .verdict = BG_COPY_PAST};
  start(&fixture, &count);
  finish(&fixture, 0, PIECES - 1);
  cr_assert_eq(count.failures, 1);
}

Test(crew, ends_with_a_failed_piece)
{
  Fixture fixture;
  Count count = {.first = 4, .end = 5, .fails = 5, .verdict = BG_COPY_FAILS};
  start(&fixture, &count);
  finish(&fixture, ENODATA, 0);
}

Test(crew, a_pause_waits_for_what_is_in_hand)
{
  Fixture fixture;
  Count count = {.end = PIECES, .held = true};
  start(&fixture, &count);
  wait_for_hands(&count, 2);
  cr_assert(bg_job_pause(fixture.job, NULL));
  g_usleep(50000);
  g_auto(BgJobInfo) info;
  bg_job_info(fixture.job, &info);
  cr_assert_eq(info.status, BG_JOB_RUNNING, "paused, with pieces in hand");
  count.held = false;
  job_events_wait(&fixture.events, "paused");
  cr_assert_eq(count.busy, 0);
  cr_assert(bg_job_resume(fixture.job, NULL));
  finish(&fixture, 0, PIECES);
}

Test(crew, failures_at_the_same_time_stop_the_job_once)
{
  Fixture fixture;
  Count count = {.end = PIECES, .held = true, .held_fail = true, .verdict = BG_COPY_AGAIN, .stops = true};
  start(&fixture, &count);
  wait_for_hands(&count, 2);
  count.held = false;
  job_events_wait(&fixture.events, "paused");
  cr_assert_eq(count.busy, 0);
  cr_assert(bg_job_resume(fixture.job, NULL));
  finish(&fixture, 0, PIECES);
  cr_assert_eq(count.failures, 1);
  unsigned seen = 0;
  for (unsigned i = 0; i < PIECES; i++)
    seen += count.seen[i];
  cr_assert_eq(seen, PIECES + count.waiting);
}

Test(crew, a_cancelled_job_waits_for_what_is_in_hand)
{
  Fixture fixture;
  Count count = {.end = PIECES, .held = true};
  start(&fixture, &count);
  wait_for_hands(&count, 2);
  cr_assert(bg_job_cancel(fixture.job, true, NULL));
  g_usleep(20000);
  count.held = false;
  job_events_wait(&fixture.events, "null");
  bg_job_unref(fixture.job);
  cr_assert(bg_graph_close(fixture.graph, NULL));
  job_events_clear(&fixture.events);
}
