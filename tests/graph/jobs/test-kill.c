/* Processes that are killed in the middle of a job. What they leave is judged here: every image holds together, and the disk on top shows what it
 * did. KILLS in the environment says how often each job is killed. */
#include "chain-fixture.h"

#include "graph/jobs/backup.h"
#include "graph/jobs/commit.h"
#include "graph/jobs/stream.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(job_kill, .timeout = 7200);

enum { KILLS = 3, LEVELS = 4, LONGEST_MS = 60 };

/* Slow enough that most are killed before they are done. */
#define SETTINGS                                                                                                       \
  {                                                                                                                    \
    .id = "j", .speed = 16 << 20                                                                                       \
  }

typedef BgJob *Start(ChainFixture *chain);

static BgNode *top(const ChainFixture *chain)
{
  return chain->node[LEVELS - 1];
}

static BgJob *start_commit(ChainFixture *chain)
{
  BgJobCommit commit = {.settings = SETTINGS, .device = top(chain), .top = chain->node[2], .base = chain->node[0]};
  return bg_job_commit(chain->scratch.graph, &commit, NULL);
}

static BgJob *start_active_commit(ChainFixture *chain)
{
  BgJobCommit commit = {.settings = SETTINGS, .device = top(chain), .top = top(chain), .base = chain->node[0]};
  return bg_job_commit(chain->scratch.graph, &commit, NULL);
}

static BgJob *start_stream(ChainFixture *chain)
{
  BgJobStream stream = {.settings = SETTINGS, .device = top(chain), .base = chain->node[0]};
  return bg_job_stream(chain->scratch.graph, &stream, NULL);
}

static BgJob *start_mirror(ChainFixture *chain)
{
  BgJobMirror mirror = {.settings = SETTINGS, .source = top(chain), .target = chain_open_target(chain, -1)};
  return bg_job_mirror(chain->scratch.graph, &mirror, NULL);
}

static BgJob *start_backup(ChainFixture *chain)
{
  BgJobBackup backup = {.settings = SETTINGS, .source = top(chain), .target = chain_open_target(chain, -1)};
  return bg_job_backup(chain->scratch.graph, &backup, NULL);
}

/* The process that is killed. It says that it begins, and never returns. */
static void G_GNUC_NORETURN victim(ChainFixture *chain, Start *start, int ready)
{
  chain->scratch.graph = bg_graph_new(NULL, &job_events_listener, &chain->events);
  chain_open_each(chain, "read-only=on");
  if (write(ready, "", 1) != 1)
    _exit(1);
  BgJob *job = start(chain);
  if (!job)
    _exit(1);
  for (;;) {
    bg_job_complete(job, NULL); /* where it gets ready */
    g_usleep(1000);
  }
}

/* Waits until it begins, and so long. */
static void run_victim(ChainFixture *chain, Start *start, unsigned delay_us)
{
  int ready[2], status;
  char byte;
  cr_assert_eq(pipe(ready), 0);
  pid_t child = fork();
  cr_assert_geq(child, 0);
  if (child == 0)
    victim(chain, start, ready[1]);
  close(ready[1]);
  bool began = read(ready[0], &byte, 1) == 1;
  close(ready[0]);
  g_usleep(delay_us);
  kill(child, SIGKILL);
  cr_assert_eq(waitpid(child, &status, 0), child);
  cr_assert(began && WIFSIGNALED(status), "the job did not begin");
}

static void copy_images(ChainFixture *chain, const char *from, const char *to)
{
  for (unsigned i = 0; i < LEVELS; i++) {
    g_autofree char *source = g_strdup_printf("%s/l%u.qcow2", from, i), *copy = g_strdup_printf("%s/l%u.qcow2", to, i);
    g_autofree char *content = NULL;
    gsize length;
    cr_assert(g_file_get_contents(source, &content, &length, NULL));
    cr_assert(g_file_set_contents(copy, content, (gssize)length, NULL));
  }
  (void)chain;
}

static void judge(ChainFixture *chain)
{
  g_autofree char *file = g_strdup_printf("l%d.qcow2", LEVELS - 1);
  chain->scratch.graph = bg_graph_new(NULL, NULL, NULL);
  chain_open_top_by_images(chain);
  chain_assert_content(top(chain), chain->shadow[LEVELS - 1], chain->size[LEVELS - 1]);
  cr_assert(bg_graph_close(chain->scratch.graph, NULL));
  chain->scratch.graph = NULL;
  chain_check_images(chain);
  chain_assert_file(chain, file, chain->shadow[LEVELS - 1], chain->size[LEVELS - 1]);
}

static unsigned kills(void)
{
  const char *text = getenv("KILLS");
  return text ? (unsigned)strtoul(text, NULL, 10) : KILLS;
}

/* Whether the uppermost image stands on another one than at the beginning. */
static bool is_shorter(const ChainFixture *chain)
{
  g_autofree char *name = g_strdup_printf("l%d.qcow2", LEVELS - 1), *recorded = chain_recorded(chain, name);
  g_autofree char *before = g_strdup_printf("l%d.qcow2 (qcow2)", LEVELS - 2);
  return strcmp(recorded, before) != 0;
}

/* Rounds of one job, killed a little later each time, and then from the beginning again. */
static void kill_often(Start *start)
{
  ChainFixture chain;
  unsigned count = kills(), shorter = 0;
  chain_init(&chain, LEVELS, NULL);
  cr_assert(bg_graph_close(chain.scratch.graph, NULL)); /* no thread is left: processes are forked */
  g_autofree char *kept = g_dir_make_tmp("blockgraphfs-test-XXXXXX", NULL);
  copy_images(&chain, chain.scratch.directory, kept);
  for (unsigned i = 0; i < count; i++) {
    g_autofree char *path = scratch_path(&chain.scratch, "target.qcow2");
    unlink(path);
    chain_make_target(&chain, chain.size[LEVELS - 1], -1);
    copy_images(&chain, kept, chain.scratch.directory);
    run_victim(&chain, start, (unsigned)((uint64_t)i * LONGEST_MS * 1000 / count));
    judge(&chain);
    shorter += is_shorter(&chain);
  }
  cr_log_info("killed %u times, the chain was shorter already %u times", count, shorter);
  for (unsigned i = 0; i < LEVELS; i++) {
    g_autofree char *path = g_strdup_printf("%s/l%u.qcow2", kept, i);
    unlink(path);
  }
  rmdir(kept);
  chain.scratch.graph = bg_graph_new(NULL, NULL, NULL);
  chain_clear(&chain);
}

Test(job_kill, of_a_commit)
{
  kill_often(start_commit);
}

Test(job_kill, of_a_commit_of_the_active_layer)
{
  kill_often(start_active_commit);
}

Test(job_kill, of_a_stream)
{
  kill_often(start_stream);
}

Test(job_kill, of_a_mirror)
{
  kill_often(start_mirror);
}

Test(job_kill, of_a_backup)
{
  kill_often(start_backup);
}
