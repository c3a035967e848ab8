#include "graph/range.h"

#include <criterion/criterion.h>
#include <glib.h>

TestSuite(range, .timeout = 30);

static bool overlap(uint64_t a, uint64_t a_length, bool a_exclusive, uint64_t b, uint64_t b_length, bool b_exclusive)
{
  BgRanges ranges;
  BgRange first, second;
  bg_ranges_init(&ranges);
  bg_ranges_lock(&ranges, &first, a, a_length, a_exclusive);
  bool granted = bg_ranges_trylock(&ranges, &second, b, b_length, b_exclusive);
  if (granted)
    bg_ranges_unlock(&ranges, &second);
  bg_ranges_unlock(&ranges, &first);
  bg_ranges_clear(&ranges);
  return !granted;
}

Test(range, shared_ranges_overlap_freely)
{
  cr_assert(!overlap(0, 100, false, 50, 100, false));
}

Test(range, an_exclusive_range_overlaps_nothing)
{
  cr_assert(overlap(0, 100, true, 99, 1, true));
  cr_assert(overlap(0, 100, true, 99, 1, false));
  cr_assert(overlap(0, 100, false, 99, 1, true));
  cr_assert(overlap(50, 10, true, 0, 200, true));
}

Test(range, neighbours_do_not_overlap)
{
  cr_assert(!overlap(0, 100, true, 100, 1, true));
  cr_assert(!overlap(100, 1, true, 0, 100, true));
}

Test(range, an_empty_range_excludes_nothing)
{
  cr_assert(!overlap(0, UINT64_MAX, true, 5, 0, true));
  cr_assert(!overlap(5, 0, true, 0, UINT64_MAX, true));
  cr_assert(!overlap(UINT64_MAX, 0, true, UINT64_MAX, 1, true));
  cr_assert(!overlap(0, 0, true, 0, 1, true));
}

Test(range, the_whole_node_reaches_to_the_last_byte)
{
  cr_assert(overlap(0, UINT64_MAX, true, UINT64_MAX - 1, 1, true));
  cr_assert(overlap(10, UINT64_MAX, true, UINT64_MAX, 1, true), "a length beyond 2^64 is cut there");
}

/* A thread that takes one range, notes when it has it, and lets go when told. */
typedef struct {
  BgRanges *ranges;
  uint64_t offset, length;
  bool exclusive;
  int asked, has, may_leave;
  GThread *thread;
} Taker;

static void *take(void *data)
{
  Taker *taker = data;
  BgRange slot;
  __atomic_store_n(&taker->asked, 1, __ATOMIC_SEQ_CST);
  bg_ranges_lock(taker->ranges, &slot, taker->offset, taker->length, taker->exclusive);
  __atomic_store_n(&taker->has, 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&taker->may_leave, __ATOMIC_SEQ_CST))
    g_usleep(500);
  bg_ranges_unlock(taker->ranges, &slot);
  return NULL;
}

static bool queued(BgRanges *ranges, unsigned count)
{
  pthread_mutex_lock(&ranges->lock);
  unsigned found = 0;
  for (BgRange *range = ranges->first; range; range = range->next)
    found++;
  pthread_mutex_unlock(&ranges->lock);
  return found == count;
}

/* Starts a taker and returns once it stands in the queue as number `position`. */
static void start(Taker *taker, unsigned position)
{
  taker->thread = g_thread_new("taker", take, taker);
  while (!queued(taker->ranges, position))
    g_usleep(500);
}

static bool has(Taker *taker)
{
  return __atomic_load_n(&taker->has, __ATOMIC_SEQ_CST);
}

static void finish(Taker *taker)
{
  __atomic_store_n(&taker->may_leave, 1, __ATOMIC_SEQ_CST);
  g_thread_join(taker->thread);
}

static void wait_for(Taker *taker)
{
  while (!has(taker))
    g_usleep(500);
}

/*   shared A   ── held
 *   exclusive B   waits for A
 *   shared C      overlaps A (fine) and B: waits behind B, or B would starve
 *   shared D      elsewhere: granted at once                                 */
Test(range, a_waiting_exclusive_range_is_not_overtaken)
{
  BgRanges ranges;
  bg_ranges_init(&ranges);
  Taker a = {.ranges = &ranges, .offset = 0, .length = 100};
  Taker b = {.ranges = &ranges, .offset = 50, .length = 100, .exclusive = true};
  Taker c = {.ranges = &ranges, .offset = 90, .length = 20};
  Taker d = {.ranges = &ranges, .offset = 1000, .length = 20};
  start(&a, 1);
  start(&b, 2);
  start(&c, 3);
  start(&d, 4);
  wait_for(&d);
  wait_for(&a);
  g_usleep(20000);
  cr_assert(!has(&b));
  cr_assert(!has(&c));
  finish(&a);
  wait_for(&b);
  g_usleep(20000);
  cr_assert(!has(&c));
  finish(&b);
  wait_for(&c);
  finish(&c);
  finish(&d);
  bg_ranges_clear(&ranges);
}

/* A stream of shared ranges that never leaves a gap must not keep an exclusive one out. */
typedef struct {
  BgRanges *ranges;
  int stop;
} Stream;

static void *stream_shared(void *data)
{
  Stream *stream = data;
  while (!__atomic_load_n(&stream->stop, __ATOMIC_RELAXED)) {
    BgRange slot;
    bg_ranges_lock(stream->ranges, &slot, 0, 4096, false);
    g_usleep(200);
    bg_ranges_unlock(stream->ranges, &slot);
  }
  return NULL;
}

Test(range, a_stream_of_shared_ranges_starves_nobody)
{
  BgRanges ranges;
  bg_ranges_init(&ranges);
  Stream stream = {.ranges = &ranges};
  GThread *threads[6];
  for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
    threads[i] = g_thread_new("stream", stream_shared, &stream);
  for (unsigned i = 0; i < 50; i++) {
    BgRange slot;
    bg_ranges_lock(&ranges, &slot, 4000, 10, true);
    bg_ranges_unlock(&ranges, &slot);
  }
  __atomic_store_n(&stream.stop, 1, __ATOMIC_RELAXED);
  for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
    g_thread_join(threads[i]);
  bg_ranges_clear(&ranges);
}

/* Threads add to plain (unlocked) counters under ranges; a lost addition or a data race shows a hole in the exclusion. */
#define CELLS  16
#define ROUNDS 3000

typedef struct {
  BgRanges *ranges;
  uint64_t *cells;
  uint32_t seed;
  uint64_t added;
} Adder;

static void *add_randomly(void *data)
{
  Adder *adder = data;
  g_autoptr(GRand) rand = g_rand_new_with_seed(adder->seed);
  for (unsigned round = 0; round < ROUNDS; round++) {
    unsigned from = g_rand_int_range(rand, 0, CELLS);
    unsigned count = g_rand_int_range(rand, 1, CELLS - from + 1);
    bool writes = g_rand_boolean(rand);
    BgRange slot;
    bg_ranges_lock(adder->ranges, &slot, from, count, writes);
    uint64_t sum = 0;
    for (unsigned i = from; i < from + count; i++)
      sum += writes ? adder->cells[i]++ : adder->cells[i];
    adder->added += writes ? count : sum * 0;
    bg_ranges_unlock(adder->ranges, &slot);
  }
  return NULL;
}

Test(range, ranges_exclude_between_threads)
{
  BgRanges ranges;
  bg_ranges_init(&ranges);
  uint64_t cells[CELLS] = {0}, sum = 0, added = 0;
  Adder adders[6];
  GThread *threads[G_N_ELEMENTS(adders)];
  for (unsigned i = 0; i < G_N_ELEMENTS(adders); i++) {
    adders[i] = (Adder){.ranges = &ranges, .cells = cells, .seed = i};
    threads[i] = g_thread_new("adder", add_randomly, &adders[i]);
  }
  for (unsigned i = 0; i < G_N_ELEMENTS(adders); i++) {
    g_thread_join(threads[i]);
    added += adders[i].added;
  }
  for (unsigned i = 0; i < CELLS; i++)
    sum += cells[i];
  cr_assert_eq(sum, added);
  cr_assert_null(ranges.first);
  bg_ranges_clear(&ranges);
}
