#include "job-events.h"

#include "graph/jobs/work.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(job, .timeout = 60);

/* A kind of job that does nothing, in pieces, until it is let go. */
typedef struct Idle {
  _Atomic bool let_go;     /* run() shall end */
  _Atomic unsigned rounds; /* that it has gone */
  uint64_t piece;          /* bytes of a round; 0: it sleeps instead */
  uint64_t total;          /* to do; 0: until it is let go */
  int fails;               /* errno of run() */
  int finish_fails;
  int io_fails;        /* errno of an I/O error in the first round */
  int finish_io_fails; /* and of one in finish() */
  BgOnError on_error;
  bool becomes_ready;
  bool finished, cleaned; /* what was called */
  BgJobWish wish;         /* at the end of run() */
} Idle;

static bool idle_round(BgJob *job, Idle *idle)
{
  idle->rounds++;
  if (!idle->piece)
    return bg_job_sleep(job, 1000);
  bg_job_advance(job, idle->piece);
  return bg_job_throttle(job, idle->piece);
}

static bool idle_has_more(BgJob *job, const Idle *idle)
{
  if (idle->becomes_ready)
    return bg_job_wish(job) == BG_JOB_STAYS;
  return idle->total ? idle->rounds * idle->piece < idle->total : !idle->let_go;
}

static bool idle_run(BgJob *job, void *work, GError **error)
{
  Idle *idle = work;
  bg_job_set_total(job, idle->total);
  if (idle->io_fails && !bg_job_io_failed(job, idle->on_error, true, -idle->io_fails))
    bg_set_error_errno(error, idle->io_fails, "cannot read");
  else if (idle->fails)
    bg_set_error_errno(error, idle->fails, "cannot work");
  if (error && *error)
    return false;
  if (idle->becomes_ready)
    bg_job_set_ready(job);
  while (idle_has_more(job, idle))
    if (!idle_round(job, idle))
      return false;
  idle->wish = bg_job_wish(job);
  return true;
}

static bool idle_finish(BgJob *job, void *work, GError **error)
{
  Idle *idle = work;
  idle->finished = true;
  int err = idle->finish_fails;
  if (idle->finish_io_fails && !bg_job_io_failed(job, idle->on_error, false, -idle->finish_io_fails))
    err = idle->finish_io_fails;
  if (err)
    bg_set_error_errno(error, err, "cannot finish");
  return !err;
}

static void idle_clean(void *work)
{
  ((Idle *)work)->cleaned = true;
}

static const BgJobKind idle_kind = {"idle", true, false, idle_run, idle_finish, idle_clean};
static const BgJobKind ready_kind = {"idle", true, true, idle_run, idle_finish, idle_clean};
static const BgJobKind plain_kind = {"plain", false, false, idle_run, idle_finish, idle_clean};

typedef struct Fixture {
  JobEvents events;
  BgGraph *graph;
} Fixture;

static void set_up(Fixture *fixture)
{
  job_events_init(&fixture->events);
  fixture->graph = bg_graph_new(NULL, &job_events_listener, &fixture->events);
}

static void tear_down(Fixture *fixture)
{
  cr_assert(bg_graph_close(fixture->graph, NULL));
  job_events_clear(&fixture->events);
}

static BgJob *start(Fixture *fixture, const BgJobKind *kind, const BgJobSettings *settings, Idle *idle)
{
  g_autoptr(GError) error = NULL;
  BgJob *job = bg_job_start(fixture->graph, kind, settings, idle, &error);
  cr_assert_not_null(job, "%s", error ? error->message : "");
  return job;
}

static void assert_events(Fixture *fixture, const char *last, const char *expected)
{
  job_events_wait(&fixture->events, last);
  g_autofree char *text = job_events_take(&fixture->events);
  cr_assert_str_eq(text, expected);
}

Test(job, goes_through_the_states_in_order)
{
  Fixture fixture;
  Idle idle = {.let_go = true};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j"}, &idle);
  assert_events(&fixture, "null", "created running waiting pending COMPLETED concluded null");
  cr_assert(idle.finished && idle.cleaned);
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert_eq(info.status, BG_JOB_NULL);
  cr_assert_eq(info.error, 0);
  cr_assert_null(bg_jobs_find(fixture.graph, "j"));
  tear_down(&fixture);
}

Test(job, that_is_no_block_job_has_no_block_events)
{
  Fixture fixture;
  Idle idle = {.let_go = true};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &plain_kind, &(BgJobSettings){.id = "j"}, &idle);
  assert_events(&fixture, "null", "created running waiting pending concluded null");
  tear_down(&fixture);
}

Test(job, that_fails_keeps_its_error)
{
  Fixture fixture;
  Idle idle = {.fails = ENOSPC};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j", .manual_dismiss = true}, &idle);
  assert_events(&fixture, "concluded", "created running aborting COMPLETED concluded");
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert_eq(info.error, ENOSPC);
  cr_assert_not_null(strstr(info.message, "cannot work"));
  cr_assert(!idle.finished && idle.cleaned);
  g_autoptr(GPtrArray) list = bg_jobs_list(fixture.graph);
  cr_assert_eq(list->len, 1);
  cr_assert(bg_job_dismiss(job, NULL));
  assert_events(&fixture, "null", "null");
  tear_down(&fixture);
}

Test(job, that_cannot_finish_is_aborted)
{
  Fixture fixture;
  Idle idle = {.let_go = true, .finish_fails = EBUSY};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j"}, &idle);
  assert_events(&fixture, "null", "created running waiting pending aborting COMPLETED concluded null");
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert_eq(info.error, EBUSY);
  tear_down(&fixture);
}

Test(job, waits_for_finalize_and_dismiss)
{
  Fixture fixture;
  Idle idle = {.let_go = true};
  set_up(&fixture);
  BgJobSettings settings = {.id = "j", .manual_finalize = true, .manual_dismiss = true};
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &settings, &idle);
  assert_events(&fixture, "PENDING", "created running waiting pending PENDING");
  cr_assert_not(idle.finished);
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_job_dismiss(job, &error));
  cr_assert_str_eq(error->message, "Job 'j' in state 'pending' cannot accept command verb 'dismiss'");
  cr_assert(bg_job_finalize(job, NULL));
  assert_events(&fixture, "concluded", "COMPLETED concluded");
  cr_assert(idle.finished);
  cr_assert_not(bg_job_cancel(job, true, NULL));
  cr_assert(bg_job_dismiss(job, NULL));
  cr_assert(bg_jobs_check_id(fixture.graph, "j", NULL), "the id is free");
  assert_events(&fixture, "null", "null");
  tear_down(&fixture);
}

Test(job, is_cancelled_while_it_runs_is_paused_or_pending)
{
  static const char *const expected[] = {"created running aborting CANCELLED concluded null",
                                         "created running paused running aborting CANCELLED concluded null",
                                         "created running waiting pending PENDING aborting CANCELLED concluded null"};
  for (int i = 0; i < 3; i++) {
    Fixture fixture;
    Idle idle = {.let_go = i == 2};
    set_up(&fixture);
    BgJobSettings settings = {.id = "j", .manual_finalize = true};
    g_autoptr(BgJob) job = start(&fixture, &idle_kind, &settings, &idle);
    job_events_wait(&fixture.events, i == 2 ? "PENDING" : "running");
    if (i == 1) {
      cr_assert(bg_job_pause(job, NULL));
      job_events_wait(&fixture.events, "paused");
    }
    cr_assert(bg_job_cancel(job, false, NULL));
    assert_events(&fixture, "null", expected[i]);
    g_auto(BgJobInfo) info;
    bg_job_info(job, &info);
    cr_assert_eq(info.error, ECANCELED);
    cr_assert(!idle.finished && idle.cleaned);
    tear_down(&fixture);
  }
}

Test(job, does_nothing_while_it_is_paused)
{
  Fixture fixture;
  Idle idle = {0};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j"}, &idle);
  job_events_wait(&fixture.events, "running");
  cr_assert_not(bg_job_resume(job, NULL));
  cr_assert(bg_job_pause(job, NULL));
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_job_pause(job, &error));
  cr_assert_str_eq(error->message, "Job is already paused");
  job_events_wait(&fixture.events, "paused");
  unsigned rounds = idle.rounds;
  g_usleep(30000);
  cr_assert_eq(idle.rounds, rounds);
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert(info.paused && !info.busy);
  cr_assert(bg_job_resume(job, NULL));
  idle.let_go = true;
  assert_events(&fixture, "null", "created running paused running waiting pending COMPLETED concluded null");
  tear_down(&fixture);
}

Test(job, that_is_ready_completes_or_ends)
{
  for (int i = 0; i < 2; i++) {
    Fixture fixture;
    Idle idle = {.becomes_ready = true};
    set_up(&fixture);
    g_autoptr(BgJob) job = start(&fixture, &ready_kind, &(BgJobSettings){.id = "j"}, &idle);
    job_events_wait(&fixture.events, "READY");
    cr_assert(bg_job_pause(job, NULL));
    job_events_wait(&fixture.events, "standby");
    cr_assert_not(bg_job_complete(job, NULL));
    cr_assert(bg_job_resume(job, NULL));
    if (i == 1)
      cr_assert(bg_job_cancel(job, false, NULL));
    while (i == 0 && !bg_job_complete(job, NULL))
      g_usleep(1000);
    assert_events(&fixture, "null",
                  "created running ready READY standby ready waiting pending COMPLETED concluded null");
    cr_assert(idle.finished);
    cr_assert_neq(idle.wish, BG_JOB_STAYS);
    tear_down(&fixture);
  }
}

Test(job, that_is_ready_is_aborted_by_force)
{
  Fixture fixture;
  Idle idle = {.becomes_ready = true};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &ready_kind, &(BgJobSettings){.id = "j"}, &idle);
  job_events_wait(&fixture.events, "READY");
  cr_assert(bg_job_cancel(job, true, NULL));
  assert_events(&fixture, "null", "created running ready READY aborting CANCELLED concluded null");
  cr_assert_not(idle.finished);
  tear_down(&fixture);
}

Test(job, that_is_not_ready_is_not_completed)
{
  Fixture fixture;
  Idle idle = {0};
  g_autoptr(GError) error = NULL;
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j"}, &idle);
  job_events_wait(&fixture.events, "running");
  cr_assert_not(bg_job_complete(job, &error));
  cr_assert_str_eq(error->message, "Job 'j' in state 'running' cannot accept command verb 'complete'");
  tear_down(&fixture);
}

/* 2 MiB at 4 MiB/s */
Test(job, keeps_to_its_speed)
{
  Fixture fixture;
  Idle idle = {.piece = 128 << 10, .total = 2 << 20};
  set_up(&fixture);
  int64_t begin = g_get_monotonic_time();
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j", .speed = 4 << 20}, &idle);
  job_events_wait(&fixture.events, "waiting");
  int64_t took = g_get_monotonic_time() - begin;
  cr_assert(took > 440000, "took %d us", (int)took);
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert_eq(info.current, idle.total);
  cr_assert_eq(info.total, idle.total);
  tear_down(&fixture);
}

Test(job, that_sleeps_for_its_speed_hears_of_another)
{
  Fixture fixture;
  Idle idle = {.piece = 1 << 20, .total = 4 << 20};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j", .speed = 1024}, &idle);
  while (idle.rounds == 0)
    g_usleep(1000);
  cr_assert(bg_job_set_speed(job, 0, NULL));
  job_events_wait(&fixture.events, "null");
  cr_assert_eq(bg_job_piece(job, 16 << 20), 16 << 20);
  tear_down(&fixture);
}

Test(job, works_in_smaller_pieces_at_low_speed)
{
  Fixture fixture;
  Idle idle = {0};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j", .speed = 1}, &idle);
  cr_assert_eq(bg_job_piece(job, 16 << 20), 64 << 10);
  job_events_wait(&fixture.events, "running");
  cr_assert(bg_job_set_speed(job, 10 << 20, NULL));
  cr_assert_eq(bg_job_piece(job, 16 << 20), 1 << 20);
  tear_down(&fixture);
}

Test(job, stops_at_an_error_and_goes_on_when_resumed)
{
  Fixture fixture;
  Idle idle = {.let_go = true, .io_fails = ENOSPC, .on_error = BG_ON_ERROR_ENOSPC};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j"}, &idle);
  job_events_wait(&fixture.events, "paused");
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert_eq(info.stopped_by, ENOSPC);
  cr_assert(bg_job_resume(job, NULL));
  assert_events(&fixture, "null", "created running ERROR paused running waiting pending COMPLETED concluded null");
  tear_down(&fixture);
}

Test(job, cannot_stop_any_more_when_it_finishes)
{
  Fixture fixture;
  Idle idle = {.let_go = true, .finish_io_fails = ENOSPC, .on_error = BG_ON_ERROR_STOP};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j"}, &idle);
  assert_events(&fixture, "null", "created running waiting pending ERROR aborting COMPLETED concluded null");
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert_eq(info.error, ENOSPC);
  tear_down(&fixture);
}

Test(job, fails_at_an_error_that_is_reported)
{
  Fixture fixture;
  Idle idle = {.let_go = true, .io_fails = EIO, .on_error = BG_ON_ERROR_ENOSPC};
  set_up(&fixture);
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j"}, &idle);
  assert_events(&fixture, "null", "created running ERROR aborting COMPLETED concluded null");
  tear_down(&fixture);
}

Test(job, ids_are_checked)
{
  static const char *const wrong[] = {NULL, "", "1", "a b", "a/b", "\xc3\xa4"};
  Fixture fixture;
  set_up(&fixture);
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
    Idle idle = {0};
    g_autoptr(GError) error = NULL;
    cr_assert_null(bg_job_start(fixture.graph, &idle_kind, &(BgJobSettings){.id = wrong[i]}, &idle, &error));
    cr_assert_eq(error->code, EINVAL);
    cr_assert(idle.cleaned);
  }
  Idle idle = {0}, other = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(BgJob) job = start(&fixture, &idle_kind, &(BgJobSettings){.id = "j.1-a_b"}, &idle);
  cr_assert_null(bg_job_start(fixture.graph, &idle_kind, &(BgJobSettings){.id = "j.1-a_b"}, &other, &error));
  cr_assert_str_eq(error->message, "Job ID 'j.1-a_b' already in use");
  cr_assert(bg_jobs_check_id(fixture.graph, "other", NULL));
  tear_down(&fixture);
}

/* One runs, one is paused, one pending, one concluded. */
Test(job, all_end_with_the_graph)
{
  static const char *const ids[] = {"a", "b", "c", "d"};
  Fixture fixture;
  Idle idle[4] = {{.piece = 1 << 20}, {0}, {.let_go = true}, {.fails = EIO}};
  set_up(&fixture);
  for (int i = 0; i < 4; i++) {
    BgJobSettings settings = {ids[i], 1, true, true};
    g_autoptr(BgJob) job = start(&fixture, &idle_kind, &settings, &idle[i]);
    if (i == 1)
      bg_job_pause(job, NULL);
  }
  job_events_wait(&fixture.events, "paused");
  job_events_wait(&fixture.events, "pending");
  job_events_wait(&fixture.events, "concluded");
  g_autoptr(BgJob) job = bg_jobs_find(fixture.graph, "a");
  cr_assert_not_null(job);
  int64_t begin = g_get_monotonic_time();
  tear_down(&fixture);
  cr_assert(g_get_monotonic_time() - begin < 5 * G_USEC_PER_SEC);
  for (int i = 0; i < 4; i++)
    cr_assert(idle[i].cleaned && !idle[i].finished);
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert_eq(info.error, ECANCELED);
}

static void *hammer(void *data)
{
  Fixture *fixture = data;
  for (int i = 0; i < 200; i++) {
    g_autoptr(GPtrArray) list = bg_jobs_list(fixture->graph);
    for (guint k = 0; k < list->len; k++) {
      g_auto(BgJobInfo) info;
      bg_job_info(list->pdata[k], &info);
      bg_job_pause(list->pdata[k], NULL);
      bg_job_set_speed(list->pdata[k], (uint64_t)i << 20, NULL);
      bg_job_resume(list->pdata[k], NULL);
      if (i % 7 == 0)
        bg_job_cancel(list->pdata[k], i % 2, NULL);
      bg_job_finalize(list->pdata[k], NULL);
      bg_job_dismiss(list->pdata[k], NULL);
    }
  }
  return NULL;
}

Test(job, verbs_come_from_many_threads)
{
  enum { JOBS = 60 };
  Fixture fixture;
  static Idle idle[JOBS];
  pthread_t threads[2];
  set_up(&fixture);
  for (int i = 0; i < 2; i++)
    pthread_create(&threads[i], NULL, hammer, &fixture);
  for (int i = 0; i < JOBS; i++) {
    g_autofree char *id = g_strdup_printf("j%d", i);
    BgJobSettings settings = {id, 0, i % 3 == 0, i % 5 == 0};
    idle[i] = (Idle){.piece = 4096, .total = 1 << 20};
    bg_job_unref(start(&fixture, &idle_kind, &settings, &idle[i]));
  }
  for (int i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  tear_down(&fixture);
  for (int i = 0; i < JOBS; i++)
    cr_assert(idle[i].cleaned);
}
