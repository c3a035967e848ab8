#include "chain-fixture.h"

#include "graph/jobs/stream.h"
#include "graph/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(job_stream, .timeout = 60);

/* `base` < 0: on nothing. */
static BgJob *start(ChainFixture *chain, int base, uint64_t speed)
{
  g_autoptr(GError) error = NULL;
  BgJobStream stream = {.settings = {.id = "j", .speed = speed},
                        .device = chain->node[chain->levels - 1],
                        .base = base < 0 ? NULL : chain->node[base]};
  return chain_started(bg_job_stream(chain->scratch.graph, &stream, &error), &error);
}

Test(job_stream, leaves_content_and_takes_the_chain_away)
{
  static const uint64_t sizes[] = {1 << 20, 600 << 10, 300 << 10, 1 << 20};
  for (int base = -1; base < 3; base++)
    for (int i = 0; i < 2; i++) {
      ChainFixture chain;
      chain_init(&chain, 4, i ? sizes : NULL);
      chain_open_each(&chain, "read-only=on");
      chain_finish(&chain, start(&chain, base, 0), 0);
      g_autofree char *events = job_events_take(&chain.events);
      cr_assert_str_eq(events, "created running waiting pending COMPLETED concluded null");
      g_autofree char *expected = base < 0 ? g_strdup("none") : g_strdup_printf("l%d.qcow2 (qcow2)", base);
      chain_assert_recorded(&chain, "l3.qcow2", expected);
      for (int level = 2; level > base; level--)
        cr_assert(bg_graph_remove(chain.scratch.graph, chain.node[level], NULL));
      chain_assert_content(chain.node[3], chain.shadow[3], chain.size[3]);
      cr_assert(bg_graph_settle(chain.scratch.graph, NULL));
      chain_assert_file(&chain, "l3.qcow2", chain.shadow[3], chain.size[3]);
      chain_clear(&chain);
    }
}

Test(job_stream, takes_away_what_was_opened_for_its_parent)
{
  ChainFixture chain;
  chain_init(&chain, 3, NULL);
  chain_open_top(&chain);
  chain_finish(&chain, start(&chain, -1, 0), 0);
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(chain.scratch.graph);
  cr_assert_eq(nodes->len, 2, "disk and disk.file");
  chain_assert_content(chain.node[2], chain.shadow[2], chain.size[2]);
  chain_clear(&chain);
}

Test(job_stream, goes_on_beside_a_guest)
{
  for (int base = -1; base < 1; base++) {
    ChainFixture chain;
    Guest guest;
    chain_init(&chain, 4, NULL);
    chain_open_each(&chain, "read-only=on");
    guest_start(&guest, &chain, chain.node[3]);
    while (guest.rounds < 20)
      g_usleep(1000);
    chain_finish(&chain, start(&chain, base, 4 << 20), 0);
    guest_stop(&guest);
    chain_assert_content(chain.node[3], chain.shadow[3], chain.size[3]);
    cr_assert(bg_graph_settle(chain.scratch.graph, NULL));
    chain_assert_file(&chain, "l3.qcow2", chain.shadow[3], chain.size[3]);
    chain_clear(&chain);
  }
}

Test(job_stream, a_cancelled_one_leaves_the_chain)
{
  ChainFixture chain;
  chain_init(&chain, 3, NULL);
  chain_open_each(&chain, NULL);
  BgJob *job = start(&chain, -1, 1);
  job_events_wait(&chain.events, "running");
  cr_assert(bg_job_pause(job, NULL));
  job_events_wait(&chain.events, "paused");
  cr_assert(bg_job_cancel(job, false, NULL));
  chain_finish(&chain, job, ECANCELED);
  chain_assert_recorded(&chain, "l2.qcow2", "l1.qcow2 (qcow2)");
  chain_assert_content(chain.node[2], chain.shadow[2], chain.size[2]);
  BgUser *writer = scratch_writer(chain.node[1]);
  bg_user_free(writer);
  chain_clear(&chain);
}

Test(job_stream, marks_nothing_dirty)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  BgUser *writer = scratch_writer(chain.node[1]);
  BgBitmaps *bitmaps = chain_bitmaps(chain.node[1]);
  BgBitmapSpec spec = {.name = "b", .granularity_bits = 12, .size = chain.size[1], .recording = true};
  const BgBitmap *bitmap = bg_bitmaps_add(bitmaps, &spec, NULL);
  uint64_t offset, length;
  chain_finish(&chain, start(&chain, -1, 0), 0);
  cr_assert_not(bg_bitmap_next(bitmap, 0, &offset, &length));
  bg_user_free(writer);
  chain_clear(&chain);
}

Test(job_stream, of_a_disk_without_a_backing_disk_is_refused)
{
  ChainFixture chain;
  chain_init(&chain, 1, NULL);
  chain_open_each(&chain, NULL);
  g_autoptr(GError) error = NULL;
  BgJobStream stream = {.settings = {.id = "j"}, .device = chain.node[0]};
  cr_assert_null(bg_job_stream(chain.scratch.graph, &stream, &error));
  cr_assert_eq(error->code, EINVAL);
  chain_clear(&chain);
}

/* What a snapshot in the image shows of the disks below goes at the end. */
Test(job_stream, is_not_seen_by_snapshots_of_the_device)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  cr_assert(bg_node_snapshot_create(chain.node[1], "s", NULL));
  BgNode *view = bg_graph_find(chain.scratch.graph, "n1@s");
  BgUser *reader = scratch_reader(view);
  BgJobStream stream = {.settings = {.id = "j", .speed = 1}, .device = chain.node[1]};
  g_autoptr(GError) refusal = NULL;
  cr_assert_null(bg_job_stream(chain.scratch.graph, &stream, &refusal));
  cr_assert_eq(refusal->code, EBUSY);
  cr_assert_not_null(strstr(refusal->message, "file 'n1@s'"), "%s", refusal->message);
  g_clear_error(&refusal);
  bg_user_free(reader);
  BgJob *job = chain_started(bg_job_stream(chain.scratch.graph, &stream, &refusal), &refusal);
  cr_assert_null(bg_user_new(view, "reader", BG_USER_READ_PERM, BG_USER_READ_SHARED, &refusal));
  cr_assert_not_null(strstr(refusal->message, "stream job 'j'"), "%s", refusal->message);
  cr_assert(bg_job_cancel(job, true, NULL));
  chain_finish(&chain, job, ECANCELED);
  chain_assert_content(view, chain.shadow[1], chain.size[1]);
  chain_clear(&chain);
}
