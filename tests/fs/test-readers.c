#include "fs/readers.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <unistd.h>

TestSuite(readers, .timeout = 60);

enum {
  PATIENCE = 20000, /* ms, where something is bound to happen */
  LONG = 20,        /* ms, where nothing may */
};

static BgfsReaders readers;
static int ends[2];

static void set_up(unsigned processors)
{
  bgfs_readers_init(&readers, processors);
  cr_assert_eq(pipe(ends), 0);
}

static void ask(unsigned requests)
{
  while (requests-- > 0)
    cr_assert_eq(write(ends[1], "x", 1), 1);
}

/* ── threads as FUSE has them ── */

typedef struct Thread {
  pthread_t id;
  bool takes_long;
  atomic_bool *release; /* it carries out what it takes until this is set; NULL: that is quick */
  atomic_uint done;
} Thread;

/* Waits for a request, takes it and begins to carry it out. False: there are no more. */
static bool take(bool quick)
{
  char byte;
  BgfsTurn turn = bgfs_readers_begin(&readers, ends[0]);
  ssize_t got = read(ends[0], &byte, 1);
  bgfs_readers_end(&readers, turn, ends[0], quick);
  return got > 0;
}

static void *serve(void *data)
{
  Thread *thread = data;
  while (take(!thread->takes_long)) {
    while (thread->release && !*thread->release)
      g_usleep(100);
    thread->done++;
  }
  return NULL;
}

static void start(Thread *threads, unsigned count)
{
  for (unsigned i = 0; i < count; i++)
    cr_assert_eq(pthread_create(&threads[i].id, NULL, serve, &threads[i]), 0);
}

static void wait_for(const atomic_uint *value, unsigned expected)
{
  for (unsigned i = 0; i < PATIENCE && *value != expected; i++)
    g_usleep(1000);
  cr_assert_eq(*value, expected);
}

static unsigned parked(void)
{
  unsigned count = 0;
  pthread_mutex_lock(&readers.lock);
  for (const BgfsParked *parked = readers.parked; parked; parked = parked->below)
    count++;
  pthread_mutex_unlock(&readers.lock);
  return count;
}

static void wait_for_parked(unsigned count)
{
  for (unsigned i = 0; i < PATIENCE && parked() != count; i++)
    g_usleep(1000);
  cr_assert_eq(parked(), count);
}

/* From now on those that are parked come only when others call them. */
static void without_watch(void)
{
  static BgfsParked nobody;
  readers.watch = &nobody;
}

/* This thread waits for a request, and the others are parked. */
static BgfsTurn begin_before(Thread *threads, unsigned count)
{
  BgfsTurn turn = bgfs_readers_begin(&readers, ends[0]);
  start(threads, count);
  wait_for_parked(count);
  return turn;
}

static void end(BgfsTurn turn, bool quick)
{
  char byte;
  cr_assert_eq(read(ends[0], &byte, 1), 1);
  bgfs_readers_end(&readers, turn, ends[0], quick);
}

/* ── who waits, and who is parked ── */

Test(readers, one_waits_and_the_others_are_parked)
{
  static Thread threads[4];
  set_up(2);
  start(threads, 4);
  wait_for_parked(3);
  cr_assert_eq(readers.active, 1);
  cr_assert_eq(readers.waiting, 1);
}

Test(readers, who_answers_quickly_goes_on_alone)
{
  static Thread thread;
  set_up(2);
  start(&thread, 1);
  for (unsigned i = 1; i <= 100; i++) {
    ask(1);
    wait_for(&thread.done, i);
  }
}

Test(readers, nobody_comes_for_what_is_quick)
{
  static Thread threads[2];
  set_up(2);
  without_watch();
  BgfsTurn turn = begin_before(threads, 2);
  ask(2);
  end(turn, true);
  g_usleep(LONG * 1000);
  cr_assert_eq(readers.taken, 1);
  cr_assert_eq(parked(), 2);
}

Test(readers, another_one_comes_for_what_is_not_quick)
{
  static Thread threads[2];
  set_up(2);
  without_watch();
  BgfsTurn turn = begin_before(threads, 2);
  ask(1);
  end(turn, false);
  wait_for(&readers.waiting, 1);
  wait_for(&readers.active, 2);
}

Test(readers, others_come_where_answers_are_slow)
{
  static atomic_bool release;
  static Thread threads[3] = {{.release = &release}, {.release = &release}, {.release = &release}};
  set_up(2);
  without_watch();
  BgfsTurn turn = begin_before(threads, 3);
  for (unsigned i = 0; i < 16; i++) {
    ask(1);
    end(turn, true);
    g_usleep(1000);
    turn = bgfs_readers_begin(&readers, ends[0]);
  }
  ask(4);
  end(turn, true);
  wait_for(&readers.taken, 20);
  release = true;
}

Test(readers, under_pressure_there_is_one_for_every_second_processor)
{
  static atomic_bool release;
  static Thread threads[3] = {{.release = &release}, {.release = &release}, {.release = &release}};
  set_up(4);
  without_watch();
  BgfsTurn turn = begin_before(threads, 3);
  ask(100);
  for (unsigned i = 0; i < 100 && readers.active == 1; i++) {
    end(turn, true);
    turn = bgfs_readers_begin(&readers, ends[0]);
  }
  end(turn, true);
  g_usleep(LONG * 1000);
  cr_assert_eq(readers.active, 2);
  release = true;
}

Test(readers, another_one_comes_when_asked)
{
  static Thread threads[2];
  set_up(2);
  without_watch();
  BgfsTurn turn = begin_before(threads, 2);
  ask(1);
  bgfs_readers_call(&readers); /* one waits already */
  end(turn, true);
  g_usleep(LONG * 1000);
  cr_assert_eq(readers.waiting, 0);
  bgfs_readers_call(&readers);
  wait_for(&readers.waiting, 1);
}

/* Whoever took a request may be at it for ever. */
Test(readers, who_watches_sees_that_others_come)
{
  static atomic_bool release;
  static Thread threads[3] = {{.release = &release}, {.release = &release}, {.release = &release}};
  set_up(2);
  start(threads, 3);
  wait_for_parked(2);
  for (unsigned i = 0; i < PATIENCE && !readers.drowsy; i++)
    g_usleep(1000);
  ask(3);
  wait_for(&readers.taken, 3);
  release = true;
  for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
    wait_for(&threads[i].done, 1);
}

/* ── ends ── */

Test(readers, who_is_parked_may_be_cancelled)
{
  static Thread threads[3];
  set_up(2);
  begin_before(threads, 3);
  for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
    pthread_cancel(threads[i].id);
  for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
    pthread_join(threads[i].id, NULL);
  cr_assert_null(readers.parked);
  cr_assert_null(readers.watch);
  bgfs_readers_call(&readers);
  bgfs_readers_clear(&readers);
}

Test(readers, no_request_is_left)
{
  static Thread threads[8];
  enum { REQUESTS = 20000 };
  set_up(4);
  for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
    threads[i].takes_long = i % 3 == 0;
  start(threads, G_N_ELEMENTS(threads));
  for (unsigned i = 0, many; i < REQUESTS; i += many) {
    many = MIN(1 + i % 7, REQUESTS - i);
    ask(many);
    if (i % 64 == 0)
      g_usleep(300);
  }
  wait_for(&readers.taken, REQUESTS);
  close(ends[1]);
  unsigned done = 0;
  for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
    pthread_join(threads[i].id, NULL);
    done += threads[i].done;
  }
  cr_assert_eq(done, REQUESTS);
}
