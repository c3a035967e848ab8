/* Power that fails in the middle of a job. What was written to the images' storage is noted, and what may be left of it after a cut is
 * judged: of each image everything up to its last flush, and of the rest all, nothing, or any of the calls. A flush of one
 * image orders nothing in another. The disk on top shows the same in every such state, and every image holds together.
 * POWER_CUTS in the environment says how many states of each job are judged. */
#include "chain-fixture.h"

#include "graph/check.h"
#include "graph/jobs/commit.h"
#include "graph/jobs/stream.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <stdlib.h>
#include <string.h>

TestSuite(job_power, .timeout = 3600);

enum { STATES = 48, LYING_STATES = 400, LEVELS = 4, TOP = LEVELS - 1, CHECK_EVERY = 4 };

typedef struct Entry {
  int kind;
  unsigned level;
  uint64_t offset, length;
  uint8_t *bytes;
} Entry;

/* Storage as it was at the beginning, and what came then. */
typedef struct Log {
  pthread_mutex_t lock;
  GArray *entries;
  uint8_t *start[LEVELS];
  uint64_t size[LEVELS];
} Log;

typedef BgJob *Start(ChainFixture *chain, GError **error);

/* ── noting ── */

static char *disk_name(unsigned level)
{
  return g_strdup_printf("l%u", level);
}

static void clear_entry(void *entry)
{
  g_free(((Entry *)entry)->bytes);
}

static void note(const MemCall *call, void *data)
{
  Log *log = data;
  Entry entry = {call->kind, (unsigned)(call->disk->name[1] - '0'), call->offset, call->length, NULL};
  if (call->kind == MEM_WRITE)
    entry.bytes = g_memdup2(call->bytes, call->length);
  pthread_mutex_lock(&log->lock);
  g_array_append_val(log->entries, entry);
  pthread_mutex_unlock(&log->lock);
}

/* The images move into memory. */
static void load_images(const ChainFixture *chain)
{
  for (unsigned i = 0; i < LEVELS; i++) {
    g_autofree char *name = disk_name(i), *file = g_strdup_printf("l%u.qcow2", i);
    g_autofree char *path = scratch_path(&chain->scratch, file), *bytes = NULL;
    gsize length;
    MemDisk *disk = mem_disk(name);
    cr_assert(g_file_get_contents(path, &bytes, &length, NULL) && length <= disk->capacity);
    memcpy(disk->data, bytes, length);
    disk->size = length;
    disk->grows = true;
  }
}

static void log_begin(Log *log)
{
  pthread_mutex_init(&log->lock, NULL);
  log->entries = g_array_new(FALSE, FALSE, sizeof(Entry));
  g_array_set_clear_func(log->entries, clear_entry);
  for (unsigned i = 0; i < LEVELS; i++) {
    g_autofree char *name = disk_name(i);
    MemDisk *disk = mem_disk(name);
    log->start[i] = g_memdup2(disk->data, disk->capacity);
    log->size[i] = disk->size;
    disk->watch_data = log;
    disk->watch = note;
  }
}

static void log_clear(Log *log)
{
  for (unsigned i = 0; i < LEVELS; i++)
    g_free(log->start[i]);
  g_array_unref(log->entries);
  pthread_mutex_destroy(&log->lock);
}

/* ── what a cut leaves ── */

typedef struct Cut {
  size_t at;        /* so many calls had begun */
  unsigned left;    /* of 256 calls that nothing had flushed so many are there */
  bool flushes_lie; /* as if there were no flushes at all */
  GRand *random;
} Cut;

static size_t last_flush(const Log *log, const Cut *cut, unsigned level)
{
  for (size_t i = cut->at; i > 0 && !cut->flushes_lie; i--) {
    const Entry *entry = &g_array_index(log->entries, Entry, i - 1);
    if (entry->kind == MEM_FLUSH && entry->level == level)
      return i;
  }
  return 0;
}

static void apply(MemDisk *disk, const Entry *entry)
{
  if (entry->kind == MEM_WRITE)
    memcpy(disk->data + entry->offset, entry->bytes, entry->length);
  else if (entry->kind == MEM_RESIZE && entry->length < disk->size)
    memset(disk->data + entry->length, 0, disk->size - entry->length);
  if (entry->kind == MEM_WRITE)
    disk->size = MAX(disk->size, entry->offset + entry->length);
  else if (entry->kind == MEM_RESIZE)
    disk->size = entry->length;
}

/* Puts it into the image's disk. */
static void make_state(const Log *log, const Cut *cut, unsigned level)
{
  g_autofree char *name = disk_name(level);
  MemDisk *disk = mem_disk(name);
  size_t flushed = last_flush(log, cut, level);
  memcpy(disk->data, log->start[level], disk->capacity);
  disk->size = log->size[level];
  for (size_t i = 0; i < cut->at; i++) {
    const Entry *entry = &g_array_index(log->entries, Entry, i);
    if (entry->level == level && (i < flushed || (unsigned)g_rand_int_range(cut->random, 0, 256) < cut->left))
      apply(disk, entry);
  }
}

/* ── judging ── */

/* NULL: it cannot be opened. */
static BgNode *add_level(Scratch *scratch, unsigned level, int backing)
{
  g_autofree char *below = backing < 0 ? g_strdup("") : g_strdup_printf(",backing=n%d", backing);
  g_autofree char *options =
      g_strdup_printf("driver=qcow2,node-name=n%u,auto-read-only=on,file.driver=mem,file.disk=l%u,"
                      "file.auto-read-only=on%s",
                      level, level, below);
  return scratch_try(scratch, options, NULL);
}

/* The image's own words for what it stands on, as a number; -1: they are none. */
static int recorded(unsigned level)
{
  g_autofree char *name = disk_name(level);
  const uint8_t *head = mem_disk(name)->data;
  uint64_t at = GUINT64_FROM_BE(*(const uint64_t *)(head + 8));
  uint32_t length = GUINT32_FROM_BE(*(const uint32_t *)(head + 16));
  if (at >= 4096 || length >= 1024)
    return -1;
  g_autofree char *text = g_strndup((const char *)head + at, length), *base = g_path_get_basename(text);
  return base[0] == 'l' && base[1] >= '0' && base[1] < '0' + (int)level ? base[1] - '0' : -1;
}

/* What the image on top shows, by what the images say of each other. NULL: it cannot be opened. */
static BgNode *open_state(Scratch *scratch)
{
  int chain[LEVELS] = {TOP};
  unsigned depth = 0;
  for (; chain[depth] > 0; depth++)
    chain[depth + 1] = recorded((unsigned)chain[depth]);
  BgNode *node = chain[depth] == 0 ? add_level(scratch, 0, -1) : NULL;
  while (node && depth-- > 0)
    node = add_level(scratch, (unsigned)chain[depth], chain[depth + 1]);
  return node;
}

static bool shows_the_same(const ChainFixture *chain)
{
  Scratch scratch = {.directory = chain->scratch.directory, .graph = bg_graph_new(NULL, NULL, NULL)};
  uint64_t size = chain->size[TOP];
  g_autofree uint8_t *bytes = g_malloc(size);
  struct iovec iov = {bytes, size};
  BgNode *node = open_state(&scratch);
  BgUser *reader = node ? scratch_reader(node) : NULL;
  bool same =
      reader && bg_user_preadv(reader, &iov, 1, 0) == (ssize_t)size && memcmp(bytes, chain->shadow[TOP], size) == 0;
  bg_user_free(reader);
  cr_assert(bg_graph_close(scratch.graph, NULL));
  return same;
}

static void finding(BgCheckWatcher *watcher, const char *text)
{
  (void)watcher;
  if (!strstr(text, "eak")) /* space that nothing uses is no harm */
    cr_log_warn("%s", text);
}

static bool progress(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  (void)watcher, (void)done, (void)total;
  return true;
}

static void check_image(const ChainFixture *chain, unsigned level)
{
  g_autofree char *name = disk_name(level), *path = scratch_path(&chain->scratch, "state.qcow2");
  g_autoptr(GError) error = NULL;
  MemDisk *disk = mem_disk(name);
  BgCheckWatcher watcher = {finding, progress};
  BgCheckResult result = {0};
  cr_assert(g_file_set_contents(path, (const char *)disk->data, (gssize)disk->size, NULL));
  bool checked = bg_check_image(path, "qcow2", BG_FIX_NONE, &watcher, &result, NULL, &error);
  cr_assert(checked, "%s", error ? error->message : "");
  cr_assert_eq(result.corruptions, 0, "image %u", level);
}

static unsigned states(void)
{
  const char *text = getenv("POWER_CUTS");
  return text ? (unsigned)strtoul(text, NULL, 10) : STATES;
}

/* Whether one of so many states shows something else. */
static bool differs(const ChainFixture *chain, const Log *log, bool flushes_lie, unsigned count)
{
  static const unsigned left[] = {256, 0, 128, 230};
  g_autoptr(GRand) random = g_rand_new_with_seed(1);
  for (unsigned i = 0; i < count; i++) {
    Cut cut = {.left = left[i % G_N_ELEMENTS(left)], .flushes_lie = flushes_lie, .random = random};
    cut.at = flushes_lie ? log->entries->len : (size_t)g_rand_int_range(random, 0, (gint32)log->entries->len + 1);
    for (unsigned level = 0; level < LEVELS; level++)
      make_state(log, &cut, level);
    for (unsigned level = 0; level < LEVELS && !flushes_lie && i / G_N_ELEMENTS(left) % CHECK_EVERY == 0; level++)
      check_image(chain, level);
    if (!shows_the_same(chain))
      return true;
  }
  return false;
}

/* ── jobs ── */

static BgJob *start_commit(ChainFixture *chain, GError **error)
{
  BgJobCommit commit = {
      .settings = {.id = "j"}, .device = chain->node[TOP], .top = chain->node[2], .base = chain->node[0]};
  return bg_job_commit(chain->scratch.graph, &commit, error);
}

static BgJob *start_active_commit(ChainFixture *chain, GError **error)
{
  BgJobCommit commit = {
      .settings = {.id = "j"}, .device = chain->node[TOP], .top = chain->node[TOP], .base = chain->node[0]};
  return bg_job_commit(chain->scratch.graph, &commit, error);
}

static BgJob *start_stream(ChainFixture *chain, GError **error)
{
  BgJobStream stream = {.settings = {.id = "j"}, .device = chain->node[TOP], .base = chain->node[0]};
  return bg_job_stream(chain->scratch.graph, &stream, error);
}

/* The whole job, noted. */
static void run(ChainFixture *chain, Start *start, Log *log)
{
  g_autoptr(GError) error = NULL;
  chain_init(chain, LEVELS, NULL);
  load_images(chain);
  for (unsigned i = 0; i < LEVELS; i++)
    cr_assert_not_null(chain->node[i] = add_level(&chain->scratch, i, (int)i - 1));
  log_begin(log);
  BgJob *job = chain_started(start(chain, &error), &error);
  if (start == start_active_commit) {
    job_events_wait(&chain->events, "READY");
    cr_assert(bg_job_complete(job, NULL));
  }
  chain_finish(chain, job, 0);
  cr_assert(bg_graph_close(chain->scratch.graph, NULL));
  chain->scratch.graph = bg_graph_new(NULL, NULL, NULL);
  for (unsigned i = 0; i < LEVELS; i++) {
    g_autofree char *name = disk_name(i);
    mem_disk(name)->watch = NULL;
  }
}

static void end(ChainFixture *chain, Log *log)
{
  log_clear(log);
  chain_clear(chain);
  fake_drivers_reset();
}

static void cut_often(Start *start)
{
  ChainFixture chain;
  Log log;
  run(&chain, start, &log);
  cr_assert_not(differs(&chain, &log, false, states()), "content is lost");
  end(&chain, &log);
}

Test(job_power, of_a_commit)
{
  cut_often(start_commit);
}

Test(job_power, of_a_commit_of_the_active_layer)
{
  cut_often(start_active_commit);
}

Test(job_power, of_a_stream)
{
  cut_often(start_stream);
}

/* Storage whose flushes do nothing loses what the chain has been shortened for. */
Test(job_power, notices_what_is_not_flushed)
{
  ChainFixture chain;
  Log log;
  run(&chain, start_commit, &log);
  cr_assert(differs(&chain, &log, true, LYING_STATES));
  end(&chain, &log);
}
