#include "graph/jobs/group.h"

#include "chain-fixture.h"
#include "graph/transaction.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(job_group, .timeout = 60);

/* Two backups, of the base and of the disk above it. */
typedef struct Fixture {
  ChainFixture chain;
  BgNode *targets[2];
  BgJob *jobs[2];
} Fixture;

static void set_up(Fixture *f)
{
  chain_init(&f->chain, 2, NULL);
  chain_open_each(&f->chain, NULL);
  for (unsigned i = 0; i < 2; i++) {
    g_autofree char *name = g_strdup_printf("t%u", i);
    g_autofree char *options = g_strdup_printf("driver=file,node-name=%s,auto-read-only=on,filename=@/%s", name, name);
    scratch_file(&f->chain.scratch, name, f->chain.size[i], 0);
    f->targets[i] = scratch_add(&f->chain.scratch, options);
  }
}

/* The first is fast, the second has that speed; it is the one that is finalized by hand, if any is. */
static void start(Fixture *f, uint64_t speed, bool manual)
{
  BgGraph *graph = f->chain.scratch.graph;
  g_autoptr(GError) error = NULL;
  g_autoptr(BgTransaction) transaction = bg_transaction_new(graph, true);
  for (unsigned i = 0; i < 2; i++) {
    BgJobBackup backup = {.settings = {.id = i ? "slow" : "fast", .speed = i ? speed : 0, .manual_dismiss = true},
                          .source = f->chain.node[i],
                          .target = f->targets[i]};
    backup.settings.manual_finalize = i == 1 && manual;
    cr_assert(bg_transaction_add_backup(transaction, &backup, &error), "%s", error ? error->message : "");
  }
  cr_assert(bg_transaction_run(transaction, &error), "%s", error ? error->message : "");
  f->jobs[0] = bg_jobs_find(graph, "fast");
  f->jobs[1] = bg_jobs_find(graph, "slow");
}

static BgJobStatus status(BgJob *job, int *error)
{
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  if (error)
    *error = info.error;
  return info.status;
}

static void wait_for(BgJob *job, BgJobStatus wanted)
{
  for (unsigned i = 0; i < 10000 && status(job, NULL) != wanted; i++)
    g_usleep(1000);
  cr_assert_eq(status(job, NULL), wanted, "job '%s' is %s", bg_job_id(job), bg_job_status_name(status(job, NULL)));
}

static void finish(Fixture *f, int error)
{
  for (unsigned i = 0; i < 2; i++) {
    int failed;
    wait_for(f->jobs[i], BG_JOB_CONCLUDED);
    status(f->jobs[i], &failed);
    cr_assert_eq(failed, error);
    cr_assert(bg_job_dismiss(f->jobs[i], NULL));
    bg_job_unref(f->jobs[i]);
  }
}

Test(job_group, none_ends_before_all_are_done)
{
  Fixture f;
  set_up(&f);
  start(&f, 1, false);
  wait_for(f.jobs[0], BG_JOB_WAITING);
  g_usleep(20000);
  cr_assert_eq(status(f.jobs[0], NULL), BG_JOB_WAITING);
  cr_assert(bg_job_set_speed(f.jobs[1], 0, NULL));
  finish(&f, 0);
  for (unsigned i = 0; i < 2; i++)
    chain_assert_content(f.targets[i], f.chain.shadow[i], f.chain.size[i]);
  chain_clear(&f.chain);
}

Test(job_group, one_that_is_cancelled_takes_the_others_along)
{
  for (unsigned i = 0; i < 2; i++) {
    Fixture f;
    set_up(&f);
    start(&f, 1, false);
    wait_for(f.jobs[0], BG_JOB_WAITING);
    cr_assert(bg_job_cancel(f.jobs[i], false, NULL));
    finish(&f, ECANCELED);
    chain_clear(&f.chain);
  }
}

Test(job_group, one_finalize_is_for_all)
{
  Fixture f;
  set_up(&f);
  start(&f, 0, true);
  for (unsigned i = 0; i < 2; i++)
    wait_for(f.jobs[i], BG_JOB_PENDING);
  g_usleep(20000);
  for (unsigned i = 0; i < 2; i++)
    cr_assert_eq(status(f.jobs[i], NULL), BG_JOB_PENDING);
  cr_assert(bg_job_finalize(f.jobs[0], NULL));
  finish(&f, 0);
  chain_clear(&f.chain);
}

/* The end of the graph does not wait for what waits for others. */
Test(job_group, ends_with_the_graph)
{
  Fixture f;
  set_up(&f);
  start(&f, 1, false);
  wait_for(f.jobs[0], BG_JOB_WAITING);
  for (unsigned i = 0; i < 2; i++)
    bg_job_unref(f.jobs[i]);
  chain_clear(&f.chain);
}
