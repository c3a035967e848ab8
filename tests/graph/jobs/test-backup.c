#include "chain-fixture.h"

#include "graph/transaction.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(job_backup, .timeout = 60, .fini = fake_drivers_reset);

/* `backing` (a level of the chain) < 0: none. */
static BgNode *add_target(ChainFixture *chain, int backing)
{
  chain_make_target(chain, chain->size[chain->levels - 1], backing);
  return chain_open_target(chain, backing);
}

static BgJob *start(ChainFixture *chain, BgNode *target, BgSync sync, uint64_t speed)
{
  g_autoptr(GError) error = NULL;
  BgJobBackup backup = {.settings = {.id = "j", .speed = speed},
                        .source = chain->node[chain->levels - 1],
                        .target = target,
                        .sync = sync};
  return chain_started(bg_job_backup(chain->scratch.graph, &backup, &error), &error);
}

Test(job_backup, is_what_the_disk_was_at_the_start)
{
  for (int i = 0; i < 3; i++) {
    ChainFixture chain;
    Guest guest;
    chain_init(&chain, 3, NULL);
    chain_open_each(&chain, NULL);
    BgNode *target = add_target(&chain, i == 1 ? 1 : -1);
    g_autofree uint8_t *then = g_memdup2(chain.shadow[2], chain.size[2]);
    BgJob *job = start(&chain, target, i == 1 ? BG_SYNC_TOP : BG_SYNC_FULL, i == 2 ? 0 : 4 << 20);
    guest_start(&guest, &chain, chain.node[2]);
    chain_finish(&chain, job, 0);
    g_autofree char *events = job_events_take(&chain.events);
    cr_assert_str_eq(events, "created running waiting pending COMPLETED concluded null");
    guest_stop(&guest);
    chain_assert_content(target, then, chain.size[2]);
    chain_assert_content(chain.node[2], chain.shadow[2], chain.size[2]);
    cr_assert(bg_graph_settle(chain.scratch.graph, NULL));
    chain_assert_file(&chain, "target.qcow2", then, chain.size[2]);
    chain_clear(&chain);
  }
}

/* The target stands on the source, and shows what that was, while it is written. */
Test(job_backup, of_nothing_keeps_what_is_written_over)
{
  ChainFixture chain;
  Guest guest;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  g_autofree uint8_t *then = g_memdup2(chain.shadow[1], chain.size[1]);
  BgNode *target = add_target(&chain, -1);
  BgJob *job = start(&chain, target, BG_SYNC_NONE, 0);
  guest_start(&guest, &chain, chain.node[1]);
  while (guest.rounds < 60)
    g_usleep(1000);
  guest_stop(&guest);
  BgUser *reader = scratch_reader(target);
  uint8_t byte, others = 0;
  for (uint64_t at = 0; at < chain.size[1]; at += 512) {
    struct iovec iov = {&byte, 1};
    cr_assert_eq(bg_user_preadv(reader, &iov, 1, at), 1);
    if (byte) /* it was kept */
      cr_assert_eq(byte, then[at]);
    if (then[at] != chain.shadow[1][at]) {
      cr_assert_eq(byte, then[at]);
      others = 1;
    }
  }
  cr_assert(others, "something was written over");
  bg_user_free(reader);
  cr_assert(bg_job_cancel(job, false, NULL));
  chain_finish(&chain, job, ECANCELED);
  chain_clear(&chain);
}

static BgBitmap *add_bitmap(ChainFixture *chain)
{
  BgBitmapSpec spec = {.name = "b", .granularity_bits = 16, .size = chain->size[1], .recording = true};
  return bg_bitmaps_add(chain_bitmaps(chain->node[1]), &spec, NULL);
}

static void write_at(ChainFixture *chain, BgUser *user, uint64_t offset, int byte)
{
  uint8_t bytes[5000];
  struct iovec iov = {bytes, sizeof bytes};
  memset(bytes, byte, sizeof bytes);
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, offset), (ssize_t)sizeof bytes);
  memcpy(chain->shadow[1] + offset, bytes, sizeof bytes);
}

static BgJob *start_by_bitmap(ChainFixture *chain, BgNode *target, BgBitmapMode mode)
{
  g_autoptr(GError) error = NULL;
  BgJobBackup backup = {.settings = {.id = "j"},
                        .source = chain->node[1],
                        .target = target,
                        .sync = BG_SYNC_BITMAP,
                        .bitmap = "b",
                        .bitmap_mode = mode};
  return chain_started(bg_job_backup(chain->scratch.graph, &backup, &error), &error);
}

/* A full backup, and then what was changed since. */
Test(job_backup, by_a_bitmap_copies_what_it_marks)
{
  for (BgBitmapMode mode = BG_BITMAP_ON_SUCCESS; mode <= BG_BITMAP_ALWAYS; mode++) {
    ChainFixture chain;
    chain_init(&chain, 2, NULL);
    chain_open_each(&chain, NULL);
    BgNode *target = add_target(&chain, -1);
    chain_finish(&chain, start(&chain, target, BG_SYNC_FULL, 0), 0);
    g_free(job_events_take(&chain.events));
    BgBitmap *bitmap = add_bitmap(&chain);
    BgUser *writer = scratch_writer(chain.node[1]);
    write_at(&chain, writer, 100000, 7);
    write_at(&chain, writer, 700000, 8);
    cr_assert_eq(bg_bitmap_dirty(bitmap), 2 << 16);
    chain_finish(&chain, start_by_bitmap(&chain, target, mode), 0);
    chain_assert_content(target, chain.shadow[1], chain.size[1]);
    cr_assert_eq(bg_bitmap_dirty(bitmap), mode == BG_BITMAP_NEVER ? 2 << 16 : 0);
    write_at(&chain, writer, 300000, 9);
    cr_assert_eq(bg_bitmap_dirty(bitmap), mode == BG_BITMAP_NEVER ? 3 << 16 : 1 << 16);
    bg_user_free(writer);
    chain_clear(&chain);
  }
}

static bool change(ChainFixture *chain, const BgBitmapAction *action, GError **error)
{
  g_autoptr(BgTransaction) transaction = bg_transaction_new(chain->scratch.graph, false);
  return bg_transaction_add_bitmap(transaction, action, error) && bg_transaction_run(transaction, error);
}

static void assert_in_use(ChainFixture *chain, const BgBitmapAction *action)
{
  g_autoptr(GError) error = NULL;
  cr_assert_not(change(chain, action, &error), "action %d", action->verb);
  cr_assert_eq(error->code, EBUSY, "%s", error->message);
  cr_assert_not_null(strstr(error->message, "backup job 'j'"), "%s", error->message);
}

static bool is_busy(BgNode *node)
{
  g_autoptr(GPtrArray) infos = bg_bitmaps_look(chain_bitmaps(node));
  return ((const BgBitmapInfo *)infos->pdata[0])->busy;
}

Test(job_backup, keeps_others_off_its_bitmap)
{
  ChainFixture chain;
  g_autoptr(GError) error = NULL;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  BgNode *node = chain.node[1];
  BgBitmapAction other = {.verb = BG_BITMAP_ADD, .node = node, .name = "c", .granularity = 65536};
  add_bitmap(&chain);
  cr_assert(change(&chain, &other, NULL));
  BgJobBackup backup = {.settings = {.id = "j", .manual_finalize = true},
                        .source = node,
                        .target = add_target(&chain, -1),
                        .sync = BG_SYNC_BITMAP,
                        .bitmap = "b"};
  cr_assert_not(is_busy(node));
  BgJob *job = chain_started(bg_job_backup(chain.scratch.graph, &backup, &error), &error);
  cr_assert(is_busy(node));
  BgBitmapVerb verbs[] = {BG_BITMAP_REMOVE, BG_BITMAP_CLEAR, BG_BITMAP_ENABLE, BG_BITMAP_DISABLE};
  for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
    assert_in_use(&chain, &(BgBitmapAction){.verb = verbs[i], .node = node, .name = "b"});
  BgBitmapSource b = {node, "b"}, c = {node, "c"};
  BgBitmapAction from = {BG_BITMAP_MERGE, node, "c", .sources = &b, .source_count = 1};
  BgBitmapAction to = {BG_BITMAP_MERGE, node, "b", .sources = &c, .source_count = 1};
  assert_in_use(&chain, &from);
  assert_in_use(&chain, &to);
  backup.settings.id = "k";
  backup.target = add_node(chain.scratch.graph, "driver=mem,node-name=m,disk=m,auto-read-only=on");
  cr_assert_null(bg_job_backup(chain.scratch.graph, &backup, &error));
  cr_assert_not_null(strstr(error->message, "backup job 'j'"), "%s", error->message);
  job_events_wait(&chain.events, "PENDING");
  cr_assert(bg_job_finalize(job, NULL));
  chain_finish(&chain, job, 0);
  cr_assert_not(is_busy(node));
  cr_assert(change(&chain, &from, NULL));
  chain_clear(&chain);
}

Test(job_backup, that_fails_loses_no_mark)
{
  for (BgBitmapMode mode = BG_BITMAP_ON_SUCCESS; mode <= BG_BITMAP_ALWAYS; mode++) {
    ChainFixture chain;
    chain_init(&chain, 2, NULL);
    chain_open_each(&chain, NULL);
    BgNode *target = add_node(chain.scratch.graph, "driver=mem,node-name=m,disk=m,auto-read-only=on");
    BgBitmap *bitmap = add_bitmap(&chain);
    BgUser *writer = scratch_writer(chain.node[1]);
    write_at(&chain, writer, 100000, 7);
    mem_disk("m")->fail_write = ENOSPC;
    chain_finish(&chain, start_by_bitmap(&chain, target, mode), ENOSPC);
    cr_assert_eq(bg_bitmap_dirty(bitmap), 1 << 16);
    bg_user_free(writer);
    chain_assert_content(chain.node[1], chain.shadow[1], chain.size[1]);
    chain_clear(&chain);
    fake_drivers_reset();
  }
}

/* The disk comes before its backup. */
Test(job_backup, whose_target_fails_does_not_stop_writers)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  BgNode *target = add_node(chain.scratch.graph, "driver=mem,node-name=m,disk=m,auto-read-only=on");
  BgJob *job = start(&chain, target, BG_SYNC_NONE, 0);
  BgUser *writer = scratch_writer(chain.node[1]);
  mem_disk("m")->fail_write = EIO;
  write_at(&chain, writer, 100000, 7);
  chain_finish(&chain, job, EIO);
  write_at(&chain, writer, 200000, 8);
  bg_user_free(writer);
  chain_assert_content(chain.node[1], chain.shadow[1], chain.size[1]);
  chain_clear(&chain);
}

Test(job_backup, refusals_change_nothing)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  BgNode *target = add_target(&chain, -1);
  BgJobBackup wrong[] = {
      {.settings = {.id = "j"}, .source = chain.node[1], .target = chain.node[1]},
      {.settings = {.id = "j"}, .source = chain.node[1], .target = target, .sync = BG_SYNC_BITMAP},
      {.settings = {.id = "j"}, .source = chain.node[1], .target = target, .bitmap = "b"},
      {.settings = {.id = "j"}, .source = chain.node[1], .target = target, .sync = BG_SYNC_BITMAP, .bitmap = "no"},
      {.settings = {.id = "j"}, .source = chain.node[1], .target = chain.node[0]},
  };
  static const int codes[] = {EINVAL, EINVAL, EINVAL, ENOENT, EBUSY};
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(GError) error = NULL;
    cr_assert_null(bg_job_backup(chain.scratch.graph, &wrong[i], &error));
    cr_assert_eq(error->code, codes[i], "%zu: %s", i, error->message);
  }
  BgUser *writer = scratch_writer(chain.node[1]);
  write_at(&chain, writer, 0, 1);
  bg_user_free(writer);
  cr_assert(bg_graph_remove(chain.scratch.graph, target, NULL));
  chain_clear(&chain);
}
