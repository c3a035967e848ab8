/* Processes that are killed in the middle of a job, and of a guest's writes. What they leave is judged here: every image holds together, the target's
 * too; and the disk on top shows what the guest flushed, or what it wrote there since. KILLS in the environment says how often each job is killed. */
#include "chain-fixture.h"

#include "graph/jobs/backup.h"
#include "graph/jobs/commit.h"
#include "graph/jobs/stream.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(job_kill, .timeout = 7200);

enum { KILLS = 3, LEVELS = 4, LONGEST_MS = 150 };

/* What the guest writes: cells, each filled with a number that is higher than those before. */
enum { CELL = 4096, CELLS = (1 << 20) / CELL, SECTOR = 512 };

/* In memory that the killed one shares with his judge. A number of 0 stands for what was there at the beginning. */
typedef struct Log {
  _Atomic uint32_t begun[CELLS], flushed[CELLS];
  _Atomic bool done; /* the job is, and well */
} Log;

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

/* ── the guest ── */

static void write_cell(BgUser *user, Log *log, unsigned cell, uint32_t number)
{
  uint32_t words[CELL / sizeof number];
  struct iovec iov = {words, sizeof words};
  for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
    words[i] = number;
  log->begun[cell] = number;
  if (bg_user_pwritev(user, &iov, 1, (uint64_t)cell * CELL) != CELL)
    _exit(1);
}

static void flush_cells(BgUser *user, Log *log)
{
  uint32_t written[CELLS];
  for (unsigned i = 0; i < CELLS; i++)
    written[i] = log->begun[i];
  if (bg_user_flush(user) != 0)
    _exit(1);
  for (unsigned i = 0; i < CELLS; i++)
    log->flushed[i] = written[i];
}

typedef struct Writer {
  BgUser *user;
  Log *log;
} Writer;

static void *write_on(void *data)
{
  Writer *writer = data;
  for (uint32_t number = 1;; number++) {
    unsigned granule = number / 16 * 7 % (CELLS / 16); /* some time in each, so that a mirror gets done */
    write_cell(writer->user, writer->log, granule * 16 + number % 16, number);
    if (number % 8 == 0)
      flush_cells(writer->user, writer->log);
    g_usleep(1000); /* the job has work, too */
  }
  return NULL;
}

static void start_guest(Writer *writer, BgNode *node, Log *log)
{
  pthread_t thread;
  *writer = (Writer){bg_user_new(node, "guest", BG_USER_READ_PERM | BG_PERM_WRITE, BG_USER_READ_SHARED, NULL), log};
  if (!writer->user || pthread_create(&thread, NULL, write_on, writer) != 0)
    _exit(1);
}

/* ── the process that is killed ── */

static bool is_done(BgJob *job)
{
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  return info.status >= BG_JOB_CONCLUDED && !info.error;
}

/* It says that it begins, and never returns. */
static void G_GNUC_NORETURN victim(ChainFixture *chain, Start *start, Log *log, int ready)
{
  Writer writer;
  chain->scratch.graph = bg_graph_new(NULL, &job_events_listener, &chain->events);
  chain_open_each(chain, "read-only=on");
  if (write(ready, "", 1) != 1)
    _exit(1);
  BgJob *job = start(chain);
  if (!job)
    _exit(1);
  start_guest(&writer, top(chain), log);
  for (;;) {
    bg_job_complete(job, NULL); /* where it gets ready */
    log->done = is_done(job);
    g_usleep(1000);
  }
}

/* Waits until it begins, and so long. */
static void run_victim(ChainFixture *chain, Start *start, Log *log, unsigned delay_us)
{
  int ready[2], status;
  char byte;
  cr_assert_eq(pipe(ready), 0);
  pid_t child = fork();
  cr_assert_geq(child, 0);
  if (child == 0)
    victim(chain, start, log, ready[1]);
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

/* ── judging ── */

/* All of what the image shows, by the images that it names. */
static uint8_t *read_image(ChainFixture *chain, const char *name, uint64_t size)
{
  Scratch other = {.directory = chain->scratch.directory, .graph = bg_graph_new(NULL, NULL, NULL)};
  g_autofree char *options =
      g_strdup_printf("driver=qcow2,node-name=x,auto-read-only=on,file.driver=file,file.filename=@/%s", name);
  BgUser *reader = scratch_reader(scratch_add(&other, options));
  uint8_t *bytes = g_malloc(size);
  struct iovec iov = {bytes, size};
  cr_assert_eq(bg_user_preadv(reader, &iov, 1, 0), (ssize_t)size);
  bg_user_free(reader);
  cr_assert(bg_graph_close(other.graph, NULL));
  return bytes;
}

static bool is_number(const uint8_t *sector, uint32_t number)
{
  for (size_t i = 0; i < SECTOR; i += sizeof number)
    if (memcmp(sector + i, &number, sizeof number) != 0)
      return false;
  return true;
}

/* Whether a sector is as it was flushed, or as some write since left it. */
static bool is_kept(const Log *log, const uint8_t *bytes, const uint8_t *before, uint64_t at)
{
  uint32_t flushed = log->flushed[at / CELL], begun = log->begun[at / CELL], number;
  memcpy(&number, bytes + at, sizeof number);
  if (!flushed && memcmp(bytes + at, before + at, SECTOR) == 0)
    return true;
  return number > 0 && number >= flushed && number <= begun && is_number(bytes + at, number);
}

/* Whether the image shows the disk, in both programs' eyes. */
static bool shows_disk(ChainFixture *chain, const char *name, const Log *log)
{
  uint64_t size = chain->size[LEVELS - 1];
  g_autofree uint8_t *bytes = read_image(chain, name, size);
  for (uint64_t at = 0; at < size; at += SECTOR)
    if (!is_kept(log, bytes, chain->shadow[LEVELS - 1], at))
      return false;
  chain_assert_file(chain, name, bytes, size);
  return true;
}

/* `other` (NULL: none): the image that the guest writes to from the moment on when the job is done. */
static void judge(ChainFixture *chain, const Log *log, const char *other)
{
  g_autofree char *file = g_strdup_printf("l%d.qcow2", LEVELS - 1);
  chain_check_images(chain);
  chain_check_target(chain);
  cr_assert(shows_disk(chain, file, log) || (other && shows_disk(chain, other, log)), "what was flushed is lost");
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
static void kill_often(Start *start, const char *other)
{
  ChainFixture chain;
  unsigned count = kills(), shorter = 0, done = 0;
  Log *log = mmap(NULL, sizeof *log, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cr_assert_neq(log, MAP_FAILED);
  chain_init(&chain, LEVELS, NULL);
  cr_assert(bg_graph_close(chain.scratch.graph, NULL)); /* no thread is left: processes are forked */
  g_autofree char *kept = g_dir_make_tmp("blockgraphfs-test-XXXXXX", NULL);
  copy_images(&chain, chain.scratch.directory, kept);
  for (unsigned i = 0; i < count; i++) {
    g_autofree char *path = scratch_path(&chain.scratch, "target.qcow2");
    unlink(path);
    chain_make_target(&chain, chain.size[LEVELS - 1], -1);
    copy_images(&chain, kept, chain.scratch.directory);
    *log = (Log){0};
    run_victim(&chain, start, log, (unsigned)((uint64_t)i * LONGEST_MS * 1000 / count));
    judge(&chain, log, other);
    if (log->done && start == start_backup)
      chain_assert_file(&chain, "target.qcow2", chain.shadow[LEVELS - 1], chain.size[LEVELS - 1]);
    shorter += is_shorter(&chain);
    done += log->done;
  }
  cr_log_info("killed %u times, %u times it was done, %u times the chain was shorter already", count, done, shorter);
  munmap(log, sizeof *log);
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
  kill_often(start_commit, NULL);
}

Test(job_kill, of_a_commit_of_the_active_layer)
{
  kill_often(start_active_commit, "l0.qcow2");
}

Test(job_kill, of_a_stream)
{
  kill_often(start_stream, NULL);
}

Test(job_kill, of_a_mirror)
{
  kill_often(start_mirror, "target.qcow2");
}

Test(job_kill, of_a_backup)
{
  kill_often(start_backup, NULL);
}
