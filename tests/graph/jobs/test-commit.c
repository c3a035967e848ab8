#include "chain-fixture.h"

#include "graph/jobs/commit.h"
#include "graph/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(job_commit, .timeout = 60);

static BgJob *try_start(ChainFixture *chain, unsigned top, unsigned base, GError **error)
{
  BgJobCommit commit = {.settings = {.id = "j"},
                        .device = chain->node[chain->levels - 1],
                        .top = chain->node[top],
                        .base = chain->node[base]};
  return bg_job_commit(chain->scratch.graph, &commit, error);
}

static BgJob *start(ChainFixture *chain, unsigned top, unsigned base)
{
  g_autoptr(GError) error = NULL;
  return chain_started(try_start(chain, top, base, &error), &error);
}

/* One that waits before it takes effect. */
static BgJob *start_pending(ChainFixture *chain, unsigned top, unsigned base)
{
  BgJobCommit commit = {.settings = {.id = "j", .manual_finalize = true},
                        .device = chain->node[chain->levels - 1],
                        .top = chain->node[top],
                        .base = chain->node[base]};
  g_autoptr(GError) error = NULL;
  BgJob *job = bg_job_commit(chain->scratch.graph, &commit, &error);
  cr_assert_not_null(job, "%s", error ? error->message : "");
  job_events_wait(&chain->events, "PENDING");
  return job;
}

static void assert_refused(ChainFixture *chain, unsigned top, unsigned base, int code, const char *text)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(try_start(chain, top, base, &error));
  cr_assert_eq(error->code, code, "%s", error->message);
  cr_assert_not_null(strstr(error->message, text), "%s", error->message);
}

/* The story: five levels, protocol nodes auto-read-only, backing nodes read-only; the middle goes into the base. */
Test(job_commit, of_the_middle_shortens_the_chain)
{
  ChainFixture chain;
  chain_init(&chain, 5, NULL);
  chain_open_each(&chain, "read-only=on");
  BgUser *guest = scratch_writer(chain.node[4]);
  uint64_t generation = bg_node_generation(chain.node[0]);
  BgJob *job = start_pending(&chain, 3, 0);
  cr_assert(bg_node_has_foreign_writer(chain.node[0]), "what is read of its file meanwhile is not to be kept");
  BgNodeState state;
  bg_node_state(chain.node[0], &state);
  cr_assert(state.read_write);
  cr_assert_not_null(strstr(state.reason, "commit job 'j'"), "%s", state.reason);
  bg_node_state_clear(&state);
  chain_assert_content(chain.node[4], chain.shadow[4], chain.size[4]);
  chain_assert_content(chain.node[3], chain.shadow[3], chain.size[3]);
  cr_assert(bg_job_finalize(job, NULL));
  chain_finish(&chain, job, 0);
  g_autofree char *events = job_events_take(&chain.events);
  cr_assert_str_eq(events, "created running waiting pending PENDING COMPLETED concluded null");
  cr_assert_gt(bg_node_generation(chain.node[0]), generation, "its file shows other bytes");
  cr_assert_not(bg_node_has_foreign_writer(chain.node[0]));
  bg_node_state(chain.node[0], &state);
  cr_assert_not(state.read_write, "the base is read-only again");
  bg_node_state_clear(&state);
  cr_assert(bg_graph_remove(chain.scratch.graph, chain.node[3], NULL));
  cr_assert(bg_graph_remove(chain.scratch.graph, chain.node[2], NULL));
  cr_assert(bg_graph_remove(chain.scratch.graph, chain.node[1], NULL));
  chain_assert_content(chain.node[4], chain.shadow[4], chain.size[4]);
  chain_assert_content(chain.node[0], chain.shadow[3], chain.size[3]);
  bg_user_free(guest);
  bg_node_state(chain.node[0], &state);
  cr_assert_eq(state.write_state, BG_STATE_READ_ONLY, "%s", state.reason);
  bg_node_state_clear(&state);
  chain_assert_recorded(&chain, "l4.qcow2", "l0.qcow2 (qcow2)");
  chain_assert_file(&chain, "l4.qcow2", chain.shadow[4], chain.size[4]);
  chain_clear(&chain);
}

Test(job_commit, takes_every_part_of_the_chain)
{
  static const uint64_t sizes[] = {300 << 10, 1 << 20, 700 << 10, 900 << 10, 1 << 20};
  for (unsigned top = 1; top < 4; top++)
    for (unsigned base = 0; base < top; base++) {
      ChainFixture chain;
      chain_init(&chain, 5, top % 2 ? sizes : NULL);
      chain_open_each(&chain, NULL);
      chain_finish(&chain, start(&chain, top, base), 0);
      chain_assert_content(chain.node[4], chain.shadow[4], chain.size[4]);
      g_autofree char *expected = g_strdup_printf("l%u.qcow2 (qcow2)", base);
      g_autofree char *overlay = g_strdup_printf("l%u.qcow2", top + 1);
      chain_assert_recorded(&chain, overlay, expected);
      chain_assert_file(&chain, "l4.qcow2", chain.shadow[4], chain.size[4]);
      chain_clear(&chain);
    }
}

Test(job_commit, takes_away_what_was_opened_for_its_parent)
{
  ChainFixture chain;
  chain_init(&chain, 4, NULL);
  chain_open_top(&chain);
  chain_finish(&chain, start(&chain, 2, 0), 0);
  cr_assert_null(bg_graph_find(chain.scratch.graph, "disk.backing"));
  cr_assert_null(bg_graph_find(chain.scratch.graph, "disk.backing2"));
  cr_assert_null(bg_graph_find(chain.scratch.graph, "disk.backing2.file"));
  cr_assert_not_null(bg_graph_find(chain.scratch.graph, "disk.backing3"));
  chain_assert_content(chain.node[3], chain.shadow[3], chain.size[3]);
  chain_clear(&chain);
}

Test(job_commit, keeps_everybody_else_off_the_base)
{
  ChainFixture chain;
  chain_init(&chain, 4, NULL);
  chain_open_each(&chain, "read-only=on");
  BgJob *job = start_pending(&chain, 2, 0);
  g_autoptr(GError) writer = NULL, below = NULL, between = NULL, again = NULL, removal = NULL;
  cr_assert_null(scratch_try_writer(chain.node[0], &writer));
  cr_assert_eq(writer->code, EBUSY, "%s", writer->message);
  cr_assert_null(scratch_try_writer(bg_graph_find(chain.scratch.graph, "f0"), &below));
  cr_assert_eq(below->code, EBUSY, "%s", below->message);
  cr_assert_null(bg_user_new(chain.node[1], "file 'n1'", BG_USER_READ_PERM, BG_USER_READ_SHARED, &between));
  cr_assert_eq(between->code, EBUSY);
  cr_assert_not_null(strstr(between->message, "commit job 'j'"), "%s", between->message);
  BgJobCommit second = {.settings = {.id = "k"}, .device = chain.node[3], .top = chain.node[1], .base = chain.node[0]};
  cr_assert_null(bg_job_commit(chain.scratch.graph, &second, &again));
  cr_assert_eq(again->code, EBUSY);
  cr_assert_not_null(strstr(again->message, "commit job 'j'"), "%s", again->message);
  cr_assert_not(bg_graph_remove(chain.scratch.graph, chain.node[1], &removal));
  cr_assert(bg_job_cancel(job, true, NULL));
  chain_finish(&chain, job, ECANCELED);
  chain_assert_content(chain.node[2], chain.shadow[2], chain.size[2]);
  chain_clear(&chain);
}

Test(job_commit, frozen_links_are_not_replaced)
{
  ChainFixture chain;
  chain_init(&chain, 3, NULL);
  chain_open_each(&chain, NULL);
  BgJob *job = start_pending(&chain, 1, 0);
  for (int i = 1; i < 3; i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(BgDict) options = bg_dict_new();
    g_autofree char *name = g_strdup_printf("n%d", i);
    bg_dict_set(options, "node-name", name);
    bg_dict_set(options, "auto-read-only", "on");
    bg_dict_set(options, "backing", "");
    BgDict *all[] = {options};
    cr_assert_not(bg_graph_reopen(chain.scratch.graph, all, 1, &error));
    cr_assert_eq(error->code, EBUSY);
    cr_assert_not_null(strstr(error->message, "is frozen by commit job 'j'"), "%s", error->message);
  }
  cr_assert(bg_job_cancel(job, true, NULL));
  chain_finish(&chain, job, ECANCELED);
  chain_clear(&chain);
}

Test(job_commit, is_refused_where_somebody_is_in_the_way)
{
  ChainFixture chain;
  chain_init(&chain, 4, NULL);
  chain_open_each(&chain, "read-only=on");
  BgUser *reader = scratch_reader(chain.node[1]);
  assert_refused(&chain, 2, 0, EBUSY, "file 'n1'");
  bg_user_free(reader);
  assert_refused(&chain, 0, 2, EINVAL, "is not in the backing chain of");
  assert_refused(&chain, 1, 1, EINVAL, "both");
  BgNodeState state;
  bg_node_state(chain.node[0], &state);
  cr_assert_not(state.read_write);
  cr_assert_eq(state.write_state, BG_STATE_READ_ONLY);
  bg_node_state_clear(&state);
  chain_finish(&chain, start(&chain, 2, 0), 0);
  chain_clear(&chain);
}

/* A snapshot in top shows base where top had nothing, so base is not written in its sight; nor under one that is taken meanwhile. */
Test(job_commit, is_not_seen_by_snapshots_of_what_is_committed)
{
  for (unsigned top = 1; top < 3; top++) { /* the second time the active layer */
    ChainFixture chain;
    chain_init(&chain, 3, NULL);
    chain_open_each(&chain, NULL);
    for (unsigned i = 0; i < 3; i++)
      cr_assert(bg_node_snapshot_create(chain.node[i], "s", NULL));
    g_autofree char *name = g_strdup_printf("n%u@s", top), *who = g_strdup_printf("file '%s'", name);
    BgNode *view = bg_graph_find(chain.scratch.graph, name);
    BgUser *reader = scratch_reader(view);
    assert_refused(&chain, top, 0, EBUSY, who);
    bg_user_free(reader);
    g_autoptr(GError) refusal = NULL;
    BgJobCommit slow = {
        .settings = {.id = "j", .speed = 1}, .device = chain.node[2], .top = chain.node[top], .base = chain.node[0]};
    BgJob *job = chain_started(bg_job_commit(chain.scratch.graph, &slow, &refusal), &refusal);
    cr_assert_null(bg_user_new(view, who, BG_USER_READ_PERM, BG_USER_READ_SHARED, &refusal));
    cr_assert_eq(refusal->code, EBUSY);
    cr_assert_not_null(strstr(refusal->message, "commit job 'j'"), "%s", refusal->message);
    g_clear_error(&refusal);
    cr_assert_not(bg_node_snapshot_create(chain.node[top], "t", &refusal));
    cr_assert_not_null(strstr(refusal->message, "commit job 'j'"), "%s", refusal->message);
    BgUser *others = scratch_reader(bg_graph_find(chain.scratch.graph, "n0@s"));
    bg_user_free(others);
    cr_assert(bg_job_cancel(job, true, NULL));
    chain_finish(&chain, job, ECANCELED);
    chain_assert_content(view, chain.shadow[top], chain.size[top]);
    chain_clear(&chain);
  }
}

Test(job_commit, a_cancelled_one_leaves_the_chain)
{
  ChainFixture chain;
  chain_init(&chain, 4, NULL);
  chain_open_each(&chain, "read-only=on");
  BgJobCommit commit = {
      .settings = {.id = "j", .speed = 1}, .device = chain.node[3], .top = chain.node[2], .base = chain.node[0]};
  BgJob *job = bg_job_commit(chain.scratch.graph, &commit, NULL);
  job_events_wait(&chain.events, "running");
  cr_assert(bg_job_cancel(job, false, NULL));
  chain_finish(&chain, job, ECANCELED);
  chain_assert_content(chain.node[3], chain.shadow[3], chain.size[3]);
  chain_assert_content(chain.node[2], chain.shadow[2], chain.size[2]);
  chain_assert_recorded(&chain, "l3.qcow2", "l2.qcow2 (qcow2)");
  chain_clear(&chain);
}

Test(job_commit, ends_with_the_graph)
{
  ChainFixture chain;
  chain_init(&chain, 4, NULL);
  chain_open_each(&chain, "read-only=on");
  BgJobCommit commit = {
      .settings = {.id = "j", .speed = 1}, .device = chain.node[3], .top = chain.node[2], .base = chain.node[0]};
  bg_job_unref(bg_job_commit(chain.scratch.graph, &commit, NULL));
  chain_clear(&chain);
}

Test(job_commit, goes_on_beside_a_guest)
{
  ChainFixture chain;
  Guest guest;
  chain_init(&chain, 5, NULL);
  chain_open_each(&chain, "read-only=on");
  guest_start(&guest, &chain, chain.node[4]);
  chain_finish(&chain, start(&chain, 2, 1), 0);
  g_free(job_events_take(&chain.events));
  chain_finish(&chain, start(&chain, 3, 0), 0);
  guest_stop(&guest);
  chain_assert_content(chain.node[4], chain.shadow[4], chain.size[4]);
  cr_assert(bg_graph_settle(chain.scratch.graph, NULL));
  chain_assert_file(&chain, "l4.qcow2", chain.shadow[4], chain.size[4]);
  chain_clear(&chain);
}
