#include "chain-fixture.h"

#include "graph/create.h"
#include "graph/jobs/mirror.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(job_mirror, .timeout = 60, .fini = fake_drivers_reset);

static BgNode *add_target(ChainFixture *chain, uint64_t size)
{
  chain_make_target(chain, size, -1);
  return chain_open_target(chain, -1);
}

static BgJob *try_start(ChainFixture *chain, BgNode *source, BgNode *target, BgSync sync, GError **error)
{
  BgJobMirror mirror = {.settings = {.id = "j"}, .source = source, .target = target, .sync = sync};
  return bg_job_mirror(chain->scratch.graph, &mirror, error);
}

static BgJob *start(ChainFixture *chain, BgNode *source, BgNode *target, BgSync sync)
{
  g_autoptr(GError) error = NULL;
  return chain_started(try_start(chain, source, target, sync, &error), &error);
}

static void complete(ChainFixture *chain, BgJob *job)
{
  g_autoptr(GError) error = NULL;
  job_events_wait(&chain->events, "READY");
  cr_assert(bg_job_complete(job, &error), "%s", error ? error->message : "");
}

Test(job_mirror, puts_the_target_in_the_place_of_the_source)
{
  ChainFixture chain;
  Guest guest;
  chain_init(&chain, 3, NULL);
  chain_open_each(&chain, "read-only=on");
  BgNode *target = add_target(&chain, 64 << 10);
  guest_start(&guest, &chain, chain.node[2]);
  BgJob *job = start(&chain, chain.node[2], target, BG_SYNC_FULL);
  job_events_wait(&chain.events, "READY");
  unsigned rounds = guest.rounds;
  while (guest.rounds < rounds + 50)
    g_usleep(1000);
  cr_assert_eq(bg_user_node(guest.user), chain.node[2]);
  complete(&chain, job);
  chain_finish(&chain, job, 0);
  g_autofree char *events = job_events_take(&chain.events);
  cr_assert_str_eq(events, "created running ready READY waiting pending COMPLETED concluded null");
  cr_assert_eq(bg_user_node(guest.user), target);
  guest_stop(&guest);
  chain_assert_content(target, chain.shadow[2], chain.size[2]);
  cr_assert(bg_graph_remove(chain.scratch.graph, chain.node[2], NULL), "nobody needs the source any more");
  cr_assert(bg_graph_settle(chain.scratch.graph, NULL));
  chain_assert_file(&chain, "target.qcow2", chain.shadow[2], chain.size[2]);
  chain_clear(&chain);
}

Test(job_mirror, cancelled_when_ready_leaves_a_clean_copy)
{
  ChainFixture chain;
  Guest guest;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  BgNode *target = add_target(&chain, chain.size[1]);
  guest_start(&guest, &chain, chain.node[1]);
  BgJob *job = start(&chain, chain.node[1], target, BG_SYNC_FULL);
  job_events_wait(&chain.events, "READY");
  guest_stop(&guest); /* so that the moment is known */
  cr_assert(bg_job_cancel(job, false, NULL));
  chain_finish(&chain, job, 0);
  BgUser *reader = scratch_reader(chain.node[1]);
  cr_assert_eq(bg_user_node(reader), chain.node[1]);
  bg_user_free(reader);
  chain_assert_content(target, chain.shadow[1], chain.size[1]);
  chain_assert_content(chain.node[1], chain.shadow[1], chain.size[1]);
  chain_clear(&chain);
}

Test(job_mirror, forced_cancel_leaves_everything)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  BgNode *target = add_target(&chain, chain.size[1]);
  BgJob *job = start(&chain, chain.node[1], target, BG_SYNC_FULL);
  job_events_wait(&chain.events, "READY");
  cr_assert(bg_job_cancel(job, true, NULL));
  chain_finish(&chain, job, ECANCELED);
  chain_assert_content(chain.node[1], chain.shadow[1], chain.size[1]);
  g_autoptr(GPtrArray) bitmaps = bg_bitmaps_look(chain_bitmaps(chain.node[1]));
  cr_assert_eq(bitmaps->len, 0);
  cr_assert_eq(atomic_load(&chain_bitmaps(chain.node[1])->recording), 0);
  cr_assert(bg_graph_remove(chain.scratch.graph, target, NULL));
  chain_clear(&chain);
}

/* The target stands on what the source stands on. */
Test(job_mirror, of_the_top_copies_what_its_image_holds)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  g_autofree char *path = scratch_path(&chain.scratch, "target.qcow2");
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "cluster_size", "4096");
  cr_assert(bg_create_image("qcow2", path, chain.size[1], options, "l0.qcow2", "qcow2", NULL, NULL));
  BgNode *target = scratch_add(&chain.scratch, "driver=qcow2,node-name=target,auto-read-only=on,backing=n0,"
                                               "file.driver=file,file.filename=@/target.qcow2");
  BgJobMirror mirror = {
      .settings = {.id = "j"}, .source = chain.node[1], .target = target, .sync = BG_SYNC_TOP, .granularity = 4096};
  BgJob *job = bg_job_mirror(chain.scratch.graph, &mirror, NULL);
  complete(&chain, job);
  chain_finish(&chain, job, 0);
  chain_assert_content(target, chain.shadow[1], chain.size[1]);
  cr_assert_lt(bg_node_allocated(target), 900 << 10);
  chain_clear(&chain);
}

/* A target that stands on its source takes what is written only, and is not its own child afterwards. */
Test(job_mirror, of_nothing_copies_what_comes)
{
  ChainFixture chain;
  chain_init(&chain, 1, NULL);
  chain_open_each(&chain, NULL);
  g_autofree char *path = scratch_path(&chain.scratch, "target.qcow2");
  cr_assert(bg_create_image("qcow2", path, chain.size[0], NULL, "l0.qcow2", "qcow2", NULL, NULL));
  BgNode *target = scratch_add(&chain.scratch, "driver=qcow2,node-name=target,auto-read-only=on,backing=n0,"
                                               "file.driver=file,file.filename=@/target.qcow2");
  BgJob *job = start(&chain, chain.node[0], target, BG_SYNC_NONE);
  complete(&chain, job);
  chain_finish(&chain, job, 0);
  chain_assert_content(target, chain.shadow[0], chain.size[0]);
  cr_assert_lt(bg_node_allocated(target), 500 << 10);
  chain_clear(&chain);
}

Test(job_mirror, targets_that_fail_leave_the_source)
{
  static const int errors[] = {EIO, ENOSPC};
  for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
    ChainFixture chain;
    chain_init(&chain, 2, NULL);
    chain_open_each(&chain, NULL);
    BgNode *target = add_node(chain.scratch.graph, "driver=mem,node-name=m,disk=m,auto-read-only=on");
    mem_disk("m")->fail_write = errors[i];
    BgJob *job = start(&chain, chain.node[1], target, BG_SYNC_FULL);
    chain_finish(&chain, job, errors[i]);
    BgUser *writer = scratch_writer(chain.node[1]);
    bg_user_free(writer);
    chain_assert_content(chain.node[1], chain.shadow[1], chain.size[1]);
    cr_assert(bg_graph_remove(chain.scratch.graph, target, NULL));
    chain_clear(&chain);
    fake_drivers_reset();
  }
}

Test(job_mirror, goes_on_after_an_error_that_is_ignored_or_stops)
{
  for (int i = 0; i < 2; i++) {
    ChainFixture chain;
    chain_init(&chain, 2, NULL);
    chain_open_each(&chain, NULL);
    BgNode *target = add_node(chain.scratch.graph, "driver=mem,node-name=m,disk=m,auto-read-only=on");
    mem_disk("m")->fail_write = EIO;
    BgJobMirror mirror = {.settings = {.id = "j"},
                          .source = chain.node[1],
                          .target = target,
                          .on_target_error = i ? BG_ON_ERROR_STOP : BG_ON_ERROR_IGNORE};
    BgJob *job = bg_job_mirror(chain.scratch.graph, &mirror, NULL);
    job_events_wait(&chain.events, "ERROR");
    if (i)
      job_events_wait(&chain.events, "paused");
    mem_disk("m")->fail_write = 0;
    if (i)
      cr_assert(bg_job_resume(job, NULL));
    complete(&chain, job);
    chain_finish(&chain, job, 0);
    chain_assert_content(target, chain.shadow[1], chain.size[1]);
    cr_assert_eq(memcmp(mem_disk("m")->data, chain.shadow[1], chain.size[1]), 0);
    chain_clear(&chain);
    fake_drivers_reset();
  }
}

Test(job_mirror, refusals_change_nothing)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  BgNode *target = add_target(&chain, chain.size[1] * 2);
  g_autoptr(GError) larger = NULL, same = NULL, busy = NULL;
  cr_assert_null(try_start(&chain, chain.node[1], target, BG_SYNC_FULL, &larger));
  cr_assert_eq(larger->code, EINVAL);
  cr_assert_null(try_start(&chain, chain.node[1], chain.node[1], BG_SYNC_FULL, &same));
  cr_assert_eq(same->code, EINVAL);
  cr_assert_null(try_start(&chain, chain.node[1], chain.node[0], BG_SYNC_FULL, &busy), "an overlay is in use");
  cr_assert_eq(busy->code, EBUSY);
  cr_assert_not_null(strstr(busy->message, "overlay 'n1'"), "%s", busy->message);
  cr_assert_eq(atomic_load(&chain_bitmaps(chain.node[1])->recording), 0);
  chain_clear(&chain);
}

/* Each batch takes longer than it takes to write again what it copies. */
static void *write_all_the_time(void *data)
{
  Guest *guest = data;
  for (uint8_t i = 0; !guest->stop; i++) {
    struct iovec iov = {&i, 1};
    cr_assert_eq(bg_user_pwritev(guest->user, &iov, 1, 12345), 1);
    guest->chain->shadow[1][12345] = i;
    g_usleep(1000);
  }
  return NULL;
}

Test(job_mirror, becomes_ready_under_somebody_who_never_rests)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  Guest guest = {.chain = &chain, .user = scratch_writer(chain.node[1])};
  BgNode *target = add_node(chain.scratch.graph, "driver=mem,node-name=m,disk=m,auto-read-only=on");
  mem_disk("m")->delay_us = 20000;
  cr_assert_eq(pthread_create(&guest.thread, NULL, write_all_the_time, &guest), 0);
  BgJob *job = start(&chain, chain.node[1], target, BG_SYNC_FULL);
  complete(&chain, job);
  chain_finish(&chain, job, 0);
  guest_stop(&guest);
  chain_assert_content(target, chain.shadow[1], chain.size[1]);
  chain_clear(&chain);
}

/* What it passes over counts. */
Test(job_mirror, is_not_ready_while_something_fails)
{
  ChainFixture chain;
  chain_init(&chain, 2, NULL);
  chain_open_each(&chain, NULL);
  BgNode *target = add_node(chain.scratch.graph, "driver=mem,node-name=m,disk=m,auto-read-only=on");
  mem_disk("m")->fail_write = EIO;
  BgJobMirror mirror = {
      .settings = {.id = "j"}, .source = chain.node[1], .target = target, .on_target_error = BG_ON_ERROR_IGNORE};
  BgJob *job = bg_job_mirror(chain.scratch.graph, &mirror, NULL);
  for (unsigned i = 0; i < 3; i++) {
    g_autofree char *events = NULL;
    job_events_wait(&chain.events, "ERROR");
    events = job_events_take(&chain.events);
    cr_assert_null(strstr(events, "READY"), "%s", events);
  }
  mem_disk("m")->fail_write = 0;
  job_events_wait(&chain.events, "READY");
  chain_assert_content(target, chain.shadow[1], chain.size[1]);
  cr_assert(bg_job_cancel(job, false, NULL));
  chain_finish(&chain, job, 0);
  chain_clear(&chain);
}

/* ── commit of the active layer ── */

static BgJob *start_commit(ChainFixture *chain, unsigned base)
{
  g_autoptr(GError) error = NULL;
  unsigned top = chain->levels - 1;
  BgJobCommit commit = {
      .settings = {.id = "j"}, .device = chain->node[top], .top = chain->node[top], .base = chain->node[base]};
  return chain_started(bg_job_commit(chain->scratch.graph, &commit, &error), &error);
}

Test(job_mirror, commits_an_active_layer)
{
  static const uint64_t sizes[] = {300 << 10, 600 << 10, 700 << 10, 1 << 20};
  for (unsigned base = 0; base < 3; base++) {
    ChainFixture chain;
    Guest guest;
    chain_init(&chain, 4, base % 2 ? sizes : NULL);
    chain_open_each(&chain, "read-only=on");
    guest_start(&guest, &chain, chain.node[3]);
    BgJob *job = start_commit(&chain, base);
    complete(&chain, job);
    unsigned rounds = guest.rounds;
    chain_finish(&chain, job, 0);
    while (guest.rounds < rounds + 20)
      g_usleep(1000);
    cr_assert_eq(bg_user_node(guest.user), chain.node[base]);
    guest_stop(&guest);
    chain_assert_content(chain.node[base], chain.shadow[3], chain.size[3]);
    cr_assert(bg_graph_settle(chain.scratch.graph, NULL));
    g_autofree char *file = g_strdup_printf("l%u.qcow2", base);
    chain_assert_file(&chain, file, chain.shadow[3], chain.size[3]);
    chain_clear(&chain);
  }
}

Test(job_mirror, a_commit_cancelled_when_ready_leaves_the_chain)
{
  ChainFixture chain;
  chain_init(&chain, 3, NULL);
  chain_open_each(&chain, "read-only=on");
  BgUser *reader = scratch_reader(chain.node[2]);
  BgJob *job = start_commit(&chain, 0);
  job_events_wait(&chain.events, "READY");
  cr_assert(bg_job_cancel(job, false, NULL));
  chain_finish(&chain, job, 0);
  cr_assert_eq(bg_user_node(reader), chain.node[2]);
  bg_user_free(reader);
  chain_assert_content(chain.node[2], chain.shadow[2], chain.size[2]);
  chain_assert_content(chain.node[0], chain.shadow[2], chain.size[2]);
  chain_clear(&chain);
}
