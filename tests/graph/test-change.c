#include "graph/change.h"

#include "graph/blockdev.h"
#include "graph/mark.h"
#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static BgGraph *graph;

static void set_up(void)
{
  graph = bg_graph_new(NULL, NULL, NULL);
}

static void tear_down(void)
{
  cr_assert(bg_graph_close(graph, NULL));
  fake_drivers_reset();
}

TestSuite(change, .init = set_up, .fini = tear_down, .timeout = 60);

static BgNode *node(const char *name)
{
  return find_node(graph, name);
}

static BgUser *reader(const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *what = g_strdup_printf("reader of '%s'", name);
  BgUser *user = bg_user_new(node(name), what, BG_USER_READ_PERM, BG_USER_READ_SHARED, &error);
  cr_assert_not_null(user, "%s", error ? error->message : "");
  return user;
}

static BgUser *try_writer(const char *name, GError **error)
{
  g_autofree char *what = g_strdup_printf("writer of '%s'", name);
  return bg_user_new(node(name), what, BG_PERM_CONSISTENT_READ | bg_user_write_perm(node(name)), BG_USER_WRITE_SHARED,
                     error);
}

static BgUser *writer(const char *name)
{
  g_autoptr(GError) error = NULL;
  BgUser *user = try_writer(name, &error);
  cr_assert_not_null(user, "%s", error ? error->message : "");
  return user;
}

static void no_writer(const char *name, int err, const char *words)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(try_writer(name, &error));
  cr_assert(g_error_matches(error, BG_ERROR, err), "%d: %s", error->code, error->message);
  g_auto(GStrv) expected = g_strsplit(words, "|", -1);
  for (char **word = expected; *word; word++)
    cr_assert(strstr(error->message, *word), "'%s' does not name %s", error->message, *word);
}

/* The nodes that are read-write, in the order in which the graph lists them. */
static void check_read_write(const char *expected)
{
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  GString *found = g_string_new(NULL);
  for (guint i = 0; i < nodes->len; i++) {
    BgNodeState state;
    bg_node_state(nodes->pdata[i], &state);
    if (state.read_write)
      g_string_append_printf(found, "%s%s", found->len ? " " : "", bg_node_name(nodes->pdata[i]));
    bg_node_state_clear(&state);
  }
  cr_assert_str_eq(found->str, expected);
  g_string_free(found, TRUE);
}

/* The events came in this order (others may lie between them). */
static void check_order(const char *journal, const char *events)
{
  g_auto(GStrv) expected = g_strsplit(events, " ", -1);
  const char *from = journal;
  for (char **event = expected; *event; event++) {
    const char *found = strstr(from, *event);
    cr_assert_not_null(found, "no %s (there) in '%s'", *event, journal);
    from = found + strlen(*event);
  }
}

static void check_state(const char *name, BgWriteState expected, int err)
{
  BgNodeState state;
  bg_node_state(node(name), &state);
  cr_assert_eq(state.write_state, expected, "%s is %s: %s", name, bg_write_state_name(state.write_state), state.reason);
  cr_assert_eq(state.error, err, "%s: %s", name, state.reason);
  cr_assert_eq(bg_node_writable(node(name)), err == 0);
  bg_node_state_clear(&state);
}

static BgPerm perm_of(const char *name)
{
  bg_graph_lock(graph);
  BgNode *found = NULL;
  for (guint i = 0; i < graph->nodes->len; i++)
    if (strcmp(((BgNode *)graph->nodes->pdata[i])->name, name) == 0)
      found = graph->nodes->pdata[i];
  BgPerm perm = found->mode.perm;
  bg_graph_unlock(graph);
  return perm;
}

static void settle(void)
{
  g_autoptr(GError) error = NULL;
  cr_assert(bg_graph_settle(graph, &error), "%s", error ? error->message : "");
}

/* ── up and down ── */

Test(change, the_first_writer_goes_up_children_first)
{
  add_chain(graph);
  check_read_write("");
  BgUser *user = writer("disk");
  check_read_write("disk disk.file");
  g_autofree char *journal = journal_take();
  check_order(journal, "disk.file:open+ disk:open+ disk.file:settle+ disk:settle+ disk:commit+");
  cr_assert_null(strstr(journal, "base:open+"), "%s", journal);
  cr_assert_null(strstr(journal, "base.file:open+"), "%s", journal);
  bg_user_free(user);
}

Test(change, the_last_writer_goes_down_parents_first)
{
  add_chain(graph);
  BgUser *first = writer("disk");
  BgUser *second = reader("disk");
  bg_user_free(first);
  check_read_write("disk disk.file");
  g_free(journal_take());
  settle();
  check_read_write("");
  g_autofree char *journal = journal_take();
  check_order(journal, "disk:settle- disk.file:settle-");
  bg_user_free(second);
}

Test(change, a_downgrade_comes_by_itself_and_not_before_its_time)
{
  add_chain(graph);
  gint64 since = g_get_monotonic_time();
  bg_user_free(writer("disk"));
  check_read_write("disk disk.file");
  BgNodeState state = {.read_write = true};
  while (state.read_write) {
    g_usleep(5000);
    bg_node_state(node("disk"), &state);
    bg_node_state_clear(&state);
  }
  gint64 took = g_get_monotonic_time() - since;
  cr_assert(took >= BG_LINGER_MS * 1000 && took < 1000000, "%" G_GINT64_FORMAT " us", took);
}

Test(change, a_writer_that_comes_back_finds_it_read_write)
{
  add_chain(graph);
  bg_user_free(writer("disk"));
  g_free(journal_take());
  BgUser *user = writer("disk");
  g_autofree char *journal = journal_take();
  cr_assert_null(strstr(journal, "+"), "%s", journal);
  settle();
  check_read_write("disk disk.file");
  bg_user_free(user);
}

Test(change, only_the_last_writer_counts)
{
  add_chain(graph);
  BgUser *user = writer("disk");
  cr_assert(bg_user_set_perm(user, BG_USER_READ_PERM | BG_PERM_WRITE, BG_USER_WRITE_SHARED, NULL));
  settle();
  check_read_write("disk disk.file");
  cr_assert(bg_user_set_perm(user, BG_USER_READ_PERM, BG_USER_READ_SHARED, NULL));
  settle();
  check_read_write("");
  bg_user_free(user);
}

Test(change, a_backing_node_goes_up_alone)
{
  add_chain(graph);
  BgUser *user = writer("base");
  check_read_write("base base.file");
  bg_user_free(user);
}

Test(change, pinned_nodes_are_always_read_write)
{
  add_node(graph, "node-name=pinned,driver=cow,file.driver=mem,file.disk=p");
  check_read_write("pinned pinned.file");
  bg_user_free(writer("pinned"));
  settle();
  check_read_write("pinned pinned.file");
}

/* ── conflicts ── */

Test(change, conflicts_name_both_parties)
{
  add_chain(graph);
  BgUser *user = reader("disk");
  no_writer("base", EBUSY, "writer of 'base'|overlay 'disk'|'write'|node 'base'");
  bg_user_free(user);
}

/* reader of disk, writer of base: the overlay would show bytes that change under it */
Test(change, an_overlay_in_use_and_a_writer_of_its_backing_exclude_each_other)
{
  add_chain(graph);
  check_state("base", BG_STATE_AVAILABLE, 0);
  BgUser *overlay = reader("disk");
  check_state("base", BG_STATE_BLOCKED, EBUSY);
  no_writer("base", EBUSY, "overlay 'disk'");
  bg_user_free(overlay);
  check_state("base", BG_STATE_AVAILABLE, 0);

  BgUser *backing = writer("base");
  check_state("base", BG_STATE_WRITABLE, 0);
  check_state("disk", BG_STATE_BLOCKED, EBUSY);
  g_autoptr(GError) error = NULL;
  cr_assert_null(bg_user_new(node("disk"), "late", BG_USER_READ_PERM, BG_USER_READ_SHARED, &error));
  cr_assert(g_error_matches(error, BG_ERROR, EBUSY));
  cr_assert(strstr(error->message, "writer of 'base'"), "%s", error->message);
  bg_user_free(backing);
  check_state("disk", BG_STATE_AVAILABLE, 0);
}

Test(change, the_bytes_under_a_format_are_read_and_never_written)
{
  add_chain(graph);
  BgUser *below = reader("disk.file");
  BgUser *above = writer("disk");
  no_writer("disk.file", EBUSY, "node 'disk'");
  bg_user_free(above);
  settle();
  no_writer("disk.file", EBUSY, "node 'disk'");
  bg_user_free(below);
}

/*   one   two    (pass)
 *     \   /
 *     shared (mem)        */
Test(change, two_writers_through_two_nodes_over_the_same_bytes)
{
  add_node(graph, "node-name=shared,driver=mem,disk=s,auto-read-only=on");
  add_node(graph, "node-name=one,driver=pass,file=shared,auto-read-only=on");
  add_node(graph, "node-name=two,driver=pass,file=shared,auto-read-only=on");
  BgUser *user = writer("one");
  no_writer("two", EBUSY, "node 'one'|node 'two'");
  no_writer("shared", EBUSY, "node 'one'");
  BgUser *other = reader("two");
  bg_user_free(user);
  BgUser *now = writer("two");
  bg_user_free(now);
  bg_user_free(other);
}

Test(change, what_only_lingers_stands_in_nobodys_way)
{
  add_node(graph, "node-name=shared,driver=mem,disk=s,auto-read-only=on");
  add_node(graph, "node-name=one,driver=pass,file=shared,auto-read-only=on");
  add_node(graph, "node-name=two,driver=pass,file=shared,auto-read-only=on");
  bg_user_free(writer("one"));
  bg_user_free(writer("two"));
  bg_user_free(writer("shared"));
}

/* ── options ── */

Test(change, read_only_by_option)
{
  add_node(graph, "node-name=disk,driver=cow,read-only=on,file.driver=mem,file.disk=d");
  check_state("disk", BG_STATE_READ_ONLY, EROFS);
  no_writer("disk", EROFS, "node 'disk'|read-only=on");
}

/* disk may be written, but not what it would be written to */
Test(change, a_child_that_is_read_only_by_option)
{
  add_node(graph, "node-name=file,driver=mem,disk=d,read-only=on");
  add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,file=file");
  check_state("disk", BG_STATE_READ_ONLY, EROFS);
  no_writer("disk", EROFS, "node 'file'|read-only=on");
  check_read_write("");
}

Test(change, a_read_write_parent_of_a_read_only_child_cannot_be_opened)
{
  add_node(graph, "node-name=file,driver=mem,disk=d,read-only=on");
  g_autoptr(GError) error = add_fails(graph, "node-name=disk,driver=cow,file=file");
  cr_assert(g_error_matches(error, BG_ERROR, EROFS), "%s", error->message);
  cr_assert_null(bg_graph_find(graph, "disk"));
}

Test(change, pins)
{
  add_chain(graph);
  bg_node_pin(node("disk"), true);
  check_state("disk", BG_STATE_READ_ONLY, EROFS);
  no_writer("disk", EROFS, "node 'disk'|chmod");
  bg_node_pin(node("disk"), false);
  BgUser *user = writer("disk");
  bg_node_pin(node("disk"), true);
  check_state("disk", BG_STATE_WRITABLE, 0);
  bg_user_free(user);
  check_state("disk", BG_STATE_AVAILABLE, 0);
}

/* ── failures ── */

Test(change, storage_that_refuses_leaves_everything_as_it_was)
{
  add_chain(graph);
  mem_disk("d")->refuse_writable = EACCES;
  no_writer("disk", EACCES, "node 'disk.file'|cannot write 'd'");
  check_read_write("");
  g_autofree char *journal = journal_take();
  cr_assert_null(strstr(journal, "commit+"), "%s", journal);
  mem_disk("d")->refuse_writable = 0;
  bg_user_free(writer("disk"));
}

Test(change, a_parent_that_fails_takes_its_child_back_down)
{
  add_chain(graph);
  cow_fail_settle("disk");
  no_writer("disk", EIO, "node 'disk'");
  check_read_write("");
  cr_assert(!mem_disk("d")->writable);
  g_autofree char *journal = journal_take();
  check_order(journal, "disk.file:settle+ disk:settle+ disk.file:abort+");
  check_order(journal, "disk:settle+ disk:abort+");
  cr_assert_null(strstr(journal, "commit"), "%s", journal);
  cow_fail_settle(NULL);
  BgUser *user = writer("disk");
  check_read_write("disk disk.file");
  bg_user_free(user);
}

Test(change, a_node_that_cannot_be_flushed_stays_read_write)
{
  g_autoptr(GError) error = NULL;
  add_chain(graph);
  BgUser *user = writer("disk");
  char byte = 'x';
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 0), 1);
  mem_disk("d")->fail_flush = EIO;
  cr_assert_eq(bg_user_flush(user), -EIO);
  bg_user_free(user);
  cr_assert(!bg_graph_settle(graph, &error));
  cr_assert(g_error_matches(error, BG_ERROR, EIO), "%s", error->message);
  cr_assert(strstr(error->message, "disk"), "%s", error->message);
  check_read_write("disk disk.file");
  mem_disk("d")->fail_flush = 0;
  settle();
  check_read_write("");
}

Test(change, a_user_leaves_whatever_the_drivers_say)
{
  add_chain(graph);
  BgUser *user = writer("disk");
  cow_fail_settle("disk");
  bg_user_free(user);
  check_state("disk", BG_STATE_AVAILABLE, 0);
  cow_fail_settle(NULL);
  settle();
  check_read_write("");
  cr_assert_eq(perm_of("disk"), BG_PERM_NONE);
}

Test(change, states_tell_what_the_storage_says)
{
  mem_disk("d")->refuse_writable = EROFS;
  add_chain(graph);
  check_state("disk", BG_STATE_UNWRITABLE, EROFS);
  mem_disk("d")->refuse_writable = EBUSY;
  for (unsigned i = 0; i < 300; i++) {
    BgNodeState state;
    bg_node_state(node("disk"), &state);
    bool told = state.error == EBUSY;
    bg_node_state_clear(&state);
    if (told)
      break;
    g_usleep(10000);
  }
  check_state("disk", BG_STATE_BLOCKED, EBUSY);
}

/* ── many at a time ── */

typedef struct Visitor {
  const char *name;
  bool writes;
  unsigned rounds, got_in;
} Visitor;

static void *come_and_go(void *data)
{
  Visitor *visitor = data;
  for (unsigned i = 0; i < visitor->rounds; i++) {
    BgUser *user = visitor->writes
                       ? try_writer(visitor->name, NULL)
                       : bg_user_new(node(visitor->name), "visitor", BG_USER_READ_PERM, BG_USER_READ_SHARED, NULL);
    visitor->got_in += user != NULL;
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    if (user && visitor->writes)
      cr_assert_eq(bg_user_pwritev(user, &iov, 1, i % 100000), 1);
    else if (user)
      cr_assert_eq(bg_user_preadv(user, &iov, 1, i % 100000), 1);
    bg_user_free(user);
  }
  return NULL;
}

static void run_visitors(Visitor *visitors, size_t count)
{
  g_autofree pthread_t *threads = g_new(pthread_t, count);
  for (size_t i = 0; i < count; i++)
    pthread_create(&threads[i], NULL, come_and_go, &visitors[i]);
  for (size_t i = 0; i < count; i++)
    pthread_join(threads[i], NULL);
}

/* (control) What is held of the node beyond what formats always hold; NULL: nothing. */
static const char *held_of(BgNode *node)
{
  BgPerm perm = BG_PERM_NONE, shared = BG_PERM_ALL;
  for (guint i = 0; i < node->holders->len; i++) {
    const BgHold *hold = node->holders->pdata[i];
    if (hold->is_user)
      return "a user";
    perm |= hold->perm;
    shared &= hold->shared;
  }
  if (node->mode.perm != perm || node->mode.shared != shared)
    return "a permission";
  if (!bg_mark_take(node)) /* the monitor may have it for a moment */
    return "the mark";
  bg_mark_drop(node);
  return NULL;
}

/* Nobody is there. */
static void check_idle(void)
{
  settle();
  check_read_write("");
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  for (guint i = 0; i < nodes->len; i++) {
    bg_graph_lock(graph);
    const char *held = held_of(nodes->pdata[i]);
    bg_graph_unlock(graph); /* before anything fails: closing the graph takes it */
    cr_assert_null(held, "%s: %s", bg_node_name(nodes->pdata[i]), held);
  }
}

/*   one   two (cow)
 *     \   /
 *      base (cow)     readers and writers of all three, of which few go together */
Test(change, users_of_a_shared_backing_node_come_and_go_at_once)
{
  add_node(graph, "node-name=base,driver=cow,auto-read-only=on,file.driver=mem,file.disk=b");
  add_node(graph, "node-name=one,driver=cow,auto-read-only=on,file.driver=mem,file.disk=1,backing=base");
  add_node(graph, "node-name=two,driver=cow,auto-read-only=on,file.driver=mem,file.disk=2,backing=base");
  Visitor visitors[] = {{"one", false, 150, 0},
                        {"two", false, 150, 0},
                        {"one", true, 150, 0},
                        {"base", true, 150, 0},
                        {"base", false, 150, 0}};
  run_visitors(visitors, G_N_ELEMENTS(visitors));
  cr_assert_eq(visitors[4].got_in, 150, "readers of the base stand in nobody's way");
  check_idle();
}

/* One overlay is read all the while: what others do must not make the base forget it. */
Test(change, an_overlay_that_stays_is_not_forgotten)
{
  add_node(graph, "node-name=base,driver=cow,auto-read-only=on,file.driver=mem,file.disk=b");
  add_node(graph, "node-name=one,driver=cow,auto-read-only=on,file.driver=mem,file.disk=1,backing=base");
  add_node(graph, "node-name=two,driver=cow,auto-read-only=on,file.driver=mem,file.disk=2,backing=base");
  cow_set_delay(500);
  for (unsigned i = 0; i < 100; i++) {
    Visitor visitor = {"one", false, 1, 0};
    pthread_t thread;
    pthread_create(&thread, NULL, come_and_go, &visitor);
    g_usleep(i % 20 * 100);
    BgUser *stays = reader("two");
    pthread_join(thread, NULL);
    cr_assert_eq(perm_of("base"), BG_PERM_CONSISTENT_READ);
    cr_assert_eq(perm_of("base.file"), BG_PERM_CONSISTENT_READ);
    bg_user_free(stays);
  }
  check_idle();
}

/* ── structure ── */

static bool reopen(const char *text)
{
  g_autoptr(BgDict) options = bg_blockdev_parse(text, NULL);
  return bg_graph_reopen(graph, &options, 1, NULL);
}

static char byte_at(BgUser *user, uint64_t offset)
{
  char byte = '?';
  struct iovec iov = {&byte, 1};
  cr_assert_eq(bg_user_preadv(user, &iov, 1, offset), 1);
  return byte;
}

static void *swap_backing(void *data)
{
  unsigned *swapped = data;
  for (unsigned i = 0; i < 60; i++) {
    g_autofree char *text =
        g_strdup_printf("node-name=disk,driver=cow,auto-read-only=on,backing=%s", i % 2 ? "base" : "other");
    *swapped += reopen(text);
  }
  return NULL;
}

/* Requests of users old and new see one backing node or the other, whole. */
Test(change, children_are_swapped_below_users_that_come_and_go)
{
  memset(mem_disk("b")->data, 'b', 1 << 20);
  memset(mem_disk("o")->data, 'o', 1 << 20);
  add_node(graph, "node-name=base,driver=mem,disk=b,auto-read-only=on");
  add_node(graph, "node-name=other,driver=mem,disk=o,auto-read-only=on");
  add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d,backing=base");
  add_node(graph, "node-name=top,driver=pass,file=disk,auto-read-only=on");
  Visitor visitors[] = {{"disk", false, 200, 0}, {"top", false, 200, 0}, {"base", false, 200, 0}};
  unsigned swapped = 0;
  pthread_t thread;
  BgUser *stays = reader("top");
  pthread_create(&thread, NULL, swap_backing, &swapped);
  run_visitors(visitors, G_N_ELEMENTS(visitors));
  for (unsigned i = 0; i < 500; i++) {
    char bytes[2] = "??";
    struct iovec iov = {bytes, 2};
    cr_assert_eq(bg_user_preadv(stays, &iov, 1, COW_CLUSTER - 1), 2);
    cr_assert(bytes[0] == bytes[1] && strchr("bo", bytes[0]), "%.2s", bytes);
  }
  pthread_join(thread, NULL);
  cr_assert_eq(swapped, 60);
  bg_user_free(stays);
  check_idle();
}

static void *remove_and_add(void *data)
{
  (void)data;
  for (unsigned i = 0; i < 30; i++) {
    BgNode *found = bg_graph_find(graph, "disk");
    g_autoptr(BgDict) options =
        bg_blockdev_parse("node-name=disk,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d", NULL);
    if (!found)
      bg_graph_add(graph, options, NULL);
    else
      bg_graph_remove(graph, found, NULL);
  }
  return NULL;
}

Test(change, nodes_are_removed_while_users_come)
{
  BgNode *disk = add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d");
  pthread_t thread;
  pthread_create(&thread, NULL, remove_and_add, NULL);
  for (unsigned i = 0; i < 300; i++) {
    BgNode *now = bg_graph_find(graph, "disk");
    BgUser *user = bg_user_new(now ? now : disk, "visitor", BG_USER_READ_PERM, BG_USER_READ_SHARED, NULL);
    if (user)
      cr_assert_eq(byte_at(user, 5), 0);
    bg_user_free(user);
  }
  pthread_join(thread, NULL);
  check_idle();
}

typedef struct Reopening {
  const char *options;
  bool done;
  int64_t ended; /* monotonic µs */
} Reopening;

static void *reopen_it(void *data)
{
  Reopening *reopening = data;
  reopening->done = reopen(reopening->options);
  reopening->ended = g_get_monotonic_time();
  return NULL;
}

/* Each alone is right. */
Test(change, two_changes_at_once_close_no_cycle)
{
  add_node(graph, "node-name=b,driver=cow,auto-read-only=on,file.driver=mem,file.disk=b");
  add_node(graph, "node-name=a,driver=cow,auto-read-only=on,file.driver=mem,file.disk=a,backing=b");
  add_node(graph, "node-name=d,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d");
  add_node(graph, "node-name=c,driver=cow,auto-read-only=on,file.driver=mem,file.disk=c,backing=d");
  Reopening two[] = {{"node-name=b,driver=cow,auto-read-only=on,backing=c", false, 0},
                     {"node-name=d,driver=cow,auto-read-only=on,backing=a", false, 0}};
  cow_set_delay(100000);
  pthread_t thread;
  pthread_create(&thread, NULL, reopen_it, &two[0]);
  reopen_it(&two[1]);
  pthread_join(thread, NULL);
  cow_set_delay(0);
  cr_assert_eq(two[0].done + two[1].done, 1);
  check_idle();
}

Test(change, storage_that_takes_long_to_open_holds_up_nobody_else)
{
  add_node(graph, "node-name=far,driver=mem,disk=far,auto-read-only=on");
  add_node(graph, "node-name=near,driver=mem,disk=near,auto-read-only=on");
  mem_disk("far")->open_delay_us = G_USEC_PER_SEC;
  Reopening far = {"node-name=far,driver=mem,disk=far,tag=1,auto-read-only=on", false, 0};
  pthread_t thread;
  pthread_create(&thread, NULL, reopen_it, &far);
  g_usleep(200000);
  BgUser *user = reader("near");
  bg_user_free(user);
  cr_assert(reopen("node-name=near,driver=mem,disk=near,tag=1,auto-read-only=on"));
  cr_assert(bg_graph_remove(graph, bg_graph_find(graph, "near"), NULL));
  int64_t ended = g_get_monotonic_time();
  pthread_join(thread, NULL);
  cr_assert(far.done);
  cr_assert_lt(ended, far.ended);
  check_idle();
}

Test(change, names_are_taken_once)
{
  add_chain(graph);
  g_autoptr(GError) error = add_fails(graph, "node-name=disk,driver=mem,disk=x");
  cr_assert(g_error_matches(error, BG_ERROR, EEXIST), "%s", error->message);
}

Test(change, a_failed_open_leaves_nothing)
{
  add_chain(graph);
  g_autoptr(GPtrArray) before = bg_graph_nodes(graph);
  g_autoptr(GError) error =
      add_fails(graph, "node-name=new,driver=cow,file.driver=mem,file.disk=n,backing.driver=cow,backing.file=missing");
  cr_assert(g_error_matches(error, BG_ERROR, ENOENT), "%s", error->message);
  g_autoptr(GPtrArray) after = bg_graph_nodes(graph);
  cr_assert_eq(before->len, after->len);
  add_node(graph, "node-name=new,driver=mem,disk=n");
}

Test(change, options_that_nobody_asks_for)
{
  static const char *const options[] = {"node-name=x,driver=mem,disk=x,file.driver=mem",
                                        "node-name=x,driver=mem,disk=x,nonsense=1",
                                        "node-name=x,driver=cow,file.driver=mem,file.disk=x,file.nonsense=1",
                                        "node-name=x,driver=pass,file.driver=mem,file.disk=x,backing=y"};
  for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
    g_autoptr(GError) error = add_fails(graph, options[i]);
    cr_assert(g_error_matches(error, BG_ERROR, EINVAL), "%s", error->message);
  }
}

Test(change, a_node_in_use_is_not_removed)
{
  g_autoptr(GError) error = NULL;
  add_chain(graph);
  cr_assert(!bg_graph_remove(graph, node("base"), &error));
  cr_assert(g_error_matches(error, BG_ERROR, EBUSY));
  cr_assert(strstr(error->message, "disk"), "%s", error->message);
  g_clear_error(&error);
  BgUser *user = reader("disk");
  cr_assert(!bg_graph_remove(graph, node("disk"), &error));
  cr_assert(strstr(error->message, "reader of 'disk'"), "%s", error->message);
  bg_user_free(user);
  cr_assert(bg_graph_remove(graph, node("disk"), NULL));
  cr_assert_null(bg_graph_find(graph, "disk.file"));
  cr_assert_not_null(bg_graph_find(graph, "base"));
  check_state("base", BG_STATE_AVAILABLE, 0);
}
