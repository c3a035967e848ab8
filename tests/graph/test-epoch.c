#include "graph/epoch.h"

#include <criterion/criterion.h>

TestSuite(epoch, .timeout = 30);

Test(epoch, without_requests_every_moment_has_passed)
{
  g_autoptr(BgEpoch) epoch = bg_epoch_new();
  uint64_t now = bg_epoch_now(epoch);
  cr_assert_neq(now, 0);
  cr_assert(bg_epoch_passed(epoch, now));
}

Test(epoch, values_grow)
{
  g_autoptr(BgEpoch) epoch = bg_epoch_new();
  uint64_t first = bg_epoch_now(epoch);
  cr_assert_gt(bg_epoch_now(epoch), first);
}

/*   enter ── now ── passed? no ── leave ── passed? yes   */
Test(epoch, waits_for_requests_that_began_before)
{
  g_autoptr(BgEpoch) epoch = bg_epoch_new();
  unsigned token = bg_epoch_enter(epoch);
  uint64_t now = bg_epoch_now(epoch);
  cr_assert(!bg_epoch_passed(epoch, now));
  bg_epoch_leave(epoch, token);
  cr_assert(bg_epoch_passed(epoch, now));
}

/*   now ── enter ── passed? yes: that request came later   */
Test(epoch, does_not_wait_for_requests_that_began_after)
{
  g_autoptr(BgEpoch) epoch = bg_epoch_new();
  uint64_t now = bg_epoch_now(epoch);
  unsigned token = bg_epoch_enter(epoch);
  cr_assert(bg_epoch_passed(epoch, now));
  cr_assert(!bg_epoch_passed(epoch, bg_epoch_now(epoch)));
  bg_epoch_leave(epoch, token);
}

Test(epoch, any_number_of_requests_fits)
{
  g_autoptr(BgEpoch) epoch = bg_epoch_new();
  unsigned tokens[1000];
  for (unsigned i = 0; i < G_N_ELEMENTS(tokens); i++)
    tokens[i] = bg_epoch_enter(epoch);
  uint64_t now = bg_epoch_now(epoch);
  for (unsigned i = 0; i < G_N_ELEMENTS(tokens); i++) {
    cr_assert(!bg_epoch_passed(epoch, now), "%u requests have left", i);
    bg_epoch_leave(epoch, tokens[G_N_ELEMENTS(tokens) - 1 - i]);
  }
  cr_assert(bg_epoch_passed(epoch, now));
}

/* A mapping names a cell; readers look it up and read the cell, a writer maps another cell and reuses the old one
 * (unlocked, plain memory) once the moment has passed: exactly what drivers do with freed clusters. */
#define CELLS 4

typedef struct {
  BgEpoch *epoch;
  unsigned mapping; /* atomic, relaxed: the epoch alone must bring order */
  uint64_t cells[CELLS];
  int stop;
} Disk;

typedef struct {
  Disk *disk;
  uint64_t latest;
  bool went_back;
} Reader;

static void *read_mapped(void *data)
{
  Reader *reader = data;
  while (!__atomic_load_n(&reader->disk->stop, __ATOMIC_RELAXED)) {
    unsigned token = bg_epoch_enter(reader->disk->epoch);
    unsigned cell = __atomic_load_n(&reader->disk->mapping, __ATOMIC_ACQUIRE);
    uint64_t value = reader->disk->cells[cell];
    reader->went_back |= value < reader->latest;
    reader->latest = value;
    bg_epoch_leave(reader->disk->epoch, token);
  }
  return NULL;
}

static void remap(Disk *disk, uint64_t value)
{
  unsigned next = (disk->mapping + 1) % CELLS;
  disk->cells[next] = value;
  __atomic_store_n(&disk->mapping, next, __ATOMIC_RELEASE);
  uint64_t now = bg_epoch_now(disk->epoch);
  unsigned old = (next + CELLS - 1) % CELLS;
  while (!bg_epoch_passed(disk->epoch, now))
    g_thread_yield();
  disk->cells[old] = 0;
}

Test(epoch, what_has_passed_may_be_reused)
{
  g_autoptr(BgEpoch) epoch = bg_epoch_new();
  Disk disk = {.epoch = epoch};
  Reader readers[4];
  GThread *threads[G_N_ELEMENTS(readers)];
  for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++) {
    readers[i] = (Reader){.disk = &disk};
    threads[i] = g_thread_new("reader", read_mapped, &readers[i]);
  }
  for (uint64_t value = 1; value <= 3000; value++)
    remap(&disk, value);
  __atomic_store_n(&disk.stop, 1, __ATOMIC_RELAXED);
  for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++) {
    g_thread_join(threads[i]);
    cr_assert(!readers[i].went_back);
  }
}

/* The same from more threads than there are slots, so that the crowd is used as well. */
Test(epoch, a_crowd_is_waited_for_too)
{
  g_autoptr(BgEpoch) epoch = bg_epoch_new();
  unsigned tokens[64];
  for (unsigned i = 0; i < G_N_ELEMENTS(tokens); i++)
    tokens[i] = bg_epoch_enter(epoch);
  Disk disk = {.epoch = epoch};
  Reader readers[4];
  GThread *threads[G_N_ELEMENTS(readers)];
  for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++) {
    readers[i] = (Reader){.disk = &disk};
    threads[i] = g_thread_new("reader", read_mapped, &readers[i]);
  }
  uint64_t now = bg_epoch_now(epoch);
  g_usleep(20000);
  cr_assert(!bg_epoch_passed(epoch, now), "64 requests are still inside");
  __atomic_store_n(&disk.stop, 1, __ATOMIC_RELAXED);
  for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++)
    g_thread_join(threads[i]);
  for (unsigned i = 0; i < G_N_ELEMENTS(tokens); i++)
    bg_epoch_leave(epoch, tokens[i]);
  cr_assert(bg_epoch_passed(epoch, now));
}
