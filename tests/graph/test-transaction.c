#include "graph/transaction.h"

#include "graph/jobs/job.h"
#include "graph/snapshot.h"
#include "tests/graph/jobs/chain-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(transaction, .timeout = 60);

enum { GRANULE = 4096 };

typedef struct Fixture {
  ChainFixture chain;
  BgNode *disk, *target;
} Fixture;

static void set_up(Fixture *f)
{
  chain_init(&f->chain, 2, NULL);
  chain_open_each(&f->chain, NULL);
  chain_make_target(&f->chain, f->chain.size[1], -1);
  f->target = chain_open_target(&f->chain, -1);
  f->disk = f->chain.node[1];
}

static void add_bitmap(BgTransaction *transaction, BgNode *node, BgBitmapVerb verb, const char *name)
{
  BgBitmapAction action = {.verb = verb, .node = node, .name = name, .granularity = GRANULE};
  cr_assert(bg_transaction_add_bitmap(transaction, &action, NULL));
}

static void add_backup(BgTransaction *transaction, const Fixture *f, uint64_t speed)
{
  g_autoptr(GError) error = NULL;
  BgJobBackup backup = {
      .settings = {.id = "j", .speed = speed}, .source = f->disk, .target = f->target, .sync = BG_SYNC_FULL};
  cr_assert(bg_transaction_add_backup(transaction, &backup, &error), "%s", error ? error->message : "");
}

static void run(BgTransaction *transaction)
{
  g_autoptr(GError) error = NULL;
  cr_assert(bg_transaction_run(transaction, &error), "%s", error ? error->message : "");
}

static uint8_t *read_all(BgNode *node, uint64_t size)
{
  uint8_t *bytes = g_malloc0(size);
  struct iovec iov = {bytes, size};
  BgUser *user = scratch_reader(node);
  cr_assert_eq(bg_user_preadv(user, &iov, 1, 0), (ssize_t)size);
  bg_user_free(user);
  return bytes;
}

/* Every granule that differs is dirty. */
static void assert_covers(const BgBitmap *bitmap, const uint8_t *then, const uint8_t *now, uint64_t size)
{
  for (uint64_t at = 0; at < size; at += GRANULE) {
    uint64_t start, length;
    if (memcmp(then + at, now + at, GRANULE) == 0)
      continue;
    cr_assert(bg_bitmap_next(bitmap, at, &start, &length) && start == at, "what changed at %lu is not marked", at);
  }
}

/* Under a writer: backup and snapshot are the same, and the bitmap knows all that was written since. */
Test(transaction, takes_all_at_one_instant)
{
  for (unsigned round = 0; round < 5; round++) {
    Fixture f;
    Guest guest;
    set_up(&f);
    guest_start(&guest, &f.chain, f.disk);
    while (guest.rounds < 20 * round)
      g_usleep(1000);
    g_autoptr(BgTransaction) transaction = bg_transaction_new(f.chain.scratch.graph, false);
    add_bitmap(transaction, f.disk, BG_BITMAP_ADD, "since");
    add_backup(transaction, &f, 8 << 20);
    cr_assert(bg_transaction_add_snapshot(transaction, f.disk, "then", NULL));
    run(transaction);
    unsigned rounds = guest.rounds;
    BgJob *job = bg_jobs_find(f.chain.scratch.graph, "j");
    if (job)
      chain_finish(&f.chain, job, 0);
    while (guest.rounds < rounds + 20)
      g_usleep(1000);
    guest_stop(&guest);
    g_autofree uint8_t *copy = read_all(f.target, f.chain.size[1]);
    g_autofree uint8_t *kept = read_all(bg_graph_find(f.chain.scratch.graph, "n1@then"), f.chain.size[1]);
    cr_assert_arr_eq(copy, kept, f.chain.size[1]);
    assert_covers(bg_bitmaps_find(chain_bitmaps(f.disk), "since"), kept, f.chain.shadow[1], f.chain.size[1]);
    chain_clear(&f.chain);
  }
}

static void add_backup_by_bitmap(BgTransaction *transaction, const Fixture *f, const char *bitmap)
{
  g_autoptr(GError) error = NULL;
  BgJobBackup backup = {.settings = {.id = "j"},
                        .source = f->disk,
                        .target = f->target,
                        .sync = BG_SYNC_BITMAP,
                        .bitmap = bitmap,
                        .bitmap_mode = BG_BITMAP_NEVER};
  cr_assert(bg_transaction_add_backup(transaction, &backup, &error), "%s", error ? error->message : "");
}

/* A bitmap that one action makes is there for the next. */
Test(transaction, actions_see_those_before_them)
{
  Fixture f;
  set_up(&f);
  g_autoptr(BgTransaction) transaction = bg_transaction_new(f.chain.scratch.graph, false);
  add_bitmap(transaction, f.disk, BG_BITMAP_ADD, "b");
  add_backup_by_bitmap(transaction, &f, "b");
  run(transaction);
  job_events_wait(&f.chain.events, "null");
  g_autofree char *events = job_events_take(&f.chain.events);
  cr_assert(strstr(events, "COMPLETED"), "%s", events);
  cr_assert_not_null(bg_bitmaps_find(chain_bitmaps(f.disk), "b"));
  chain_clear(&f.chain);
}

/* And what one has begun to use is not taken from it by the next. */
Test(transaction, actions_are_refused_what_those_before_them_use)
{
  static const BgBitmapVerb verbs[] = {BG_BITMAP_REMOVE, BG_BITMAP_CLEAR, BG_BITMAP_DISABLE};
  for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
    Fixture f;
    set_up(&f);
    g_autoptr(GError) error = NULL;
    g_autoptr(BgTransaction) transaction = bg_transaction_new(f.chain.scratch.graph, false);
    add_bitmap(transaction, f.disk, BG_BITMAP_ADD, "b");
    add_backup_by_bitmap(transaction, &f, "b");
    add_bitmap(transaction, f.disk, verbs[i], "b");
    cr_assert_not(bg_transaction_run(transaction, &error));
    cr_assert_eq(error->code, EBUSY);
    cr_assert(strstr(error->message, "Bitmap 'b' is currently in use by backup job 'j'"), "%s", error->message);
    job_events_wait(&f.chain.events, "null");
    cr_assert_null(bg_bitmaps_find(chain_bitmaps(f.disk), "b"));
    chain_clear(&f.chain);
  }
}

static void assert_untouched(const Fixture *f, const char *events)
{
  g_autofree char *came = job_events_take((JobEvents *)&f->chain.events);
  g_autoptr(GPtrArray) snapshots = bg_node_snapshots(f->disk);
  cr_assert_str_eq(came, events);
  cr_assert_eq(snapshots->len, 0);
  cr_assert_null(bg_bitmaps_find(chain_bitmaps(f->disk), "new"));
  cr_assert_not_null(bg_bitmaps_find(chain_bitmaps(f->disk), "old"));
  chain_assert_content(f->disk, f->chain.shadow[1], f->chain.size[1]);
}

Test(transaction, that_fails_changes_nothing)
{
  Fixture f;
  set_up(&f);
  BgUser *writer = scratch_writer(f.disk);
  g_autoptr(BgTransaction) first = bg_transaction_new(f.chain.scratch.graph, false);
  add_bitmap(first, f.disk, BG_BITMAP_ADD, "old");
  run(first);
  BgBitmap *old = bg_bitmaps_find(chain_bitmaps(f.disk), "old");
  bg_bitmap_set(old, 0, 2 * GRANULE);

  g_autoptr(GError) error = NULL;
  g_autoptr(BgTransaction) transaction = bg_transaction_new(f.chain.scratch.graph, false);
  add_bitmap(transaction, f.disk, BG_BITMAP_ADD, "new");
  add_bitmap(transaction, f.disk, BG_BITMAP_CLEAR, "old");
  add_bitmap(transaction, f.disk, BG_BITMAP_DISABLE, "old");
  add_bitmap(transaction, f.disk, BG_BITMAP_REMOVE, "old");
  cr_assert(bg_transaction_add_snapshot(transaction, f.disk, "s", NULL));
  add_backup(transaction, &f, 0);
  bg_transaction_add_abort(transaction);
  cr_assert_not(bg_transaction_run(transaction, &error));
  cr_assert_eq(error->code, ECANCELED);
  job_events_wait(&f.chain.events, "null");
  assert_untouched(&f, "created aborting concluded null");
  cr_assert_eq(bg_bitmap_dirty(old), 2 * GRANULE);
  BgBitmapSpec spec;
  bg_bitmap_look(old, &spec);
  cr_assert(spec.recording);
  bg_user_free(writer);
  chain_clear(&f.chain);
}

/* The overlay's own action and its place in the chain come together; one that is used is refused. */
Test(transaction, overlays_come_with_the_rest_or_not)
{
  Fixture f;
  set_up(&f);
  BgGraph *graph = f.chain.scratch.graph;
  const BgAppend append = {f.disk, f.target};
  BgUser *reader = scratch_reader(f.target);
  g_autoptr(BgTransaction) refused = bg_transaction_new(graph, false);
  add_bitmap(refused, f.disk, BG_BITMAP_ADD, "old");
  cr_assert(bg_transaction_add_append(refused, &append, NULL));
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_transaction_run(refused, &error));
  cr_assert_eq(error->code, EBUSY, "%s", error->message);
  cr_assert_null(bg_bitmaps_find(chain_bitmaps(f.disk), "old"));
  bg_user_free(reader);

  g_autoptr(BgTransaction) transaction = bg_transaction_new(graph, false);
  add_bitmap(transaction, f.target, BG_BITMAP_ADD, "above");
  cr_assert(bg_transaction_add_append(transaction, &append, NULL));
  run(transaction);
  cr_assert_eq(bg_node_child(f.target, "backing"), f.disk);
  cr_assert_not_null(bg_bitmaps_find(chain_bitmaps(f.target), "above"));
  chain_assert_content(f.target, f.chain.shadow[1], f.chain.size[1]);
  chain_clear(&f.chain);
}

/* What is added and never run goes away. */
Test(transaction, may_be_given_up)
{
  Fixture f;
  set_up(&f);
  BgTransaction *transaction = bg_transaction_new(f.chain.scratch.graph, true);
  add_bitmap(transaction, f.disk, BG_BITMAP_ADD, "new");
  add_backup(transaction, &f, 0);
  bg_transaction_free(transaction);
  job_events_wait(&f.chain.events, "null");
  cr_assert_null(bg_bitmaps_find(chain_bitmaps(f.disk), "new"));
  chain_clear(&f.chain);
}
