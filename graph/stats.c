#include "graph/stats.h"

#include "graph/node.h"

#include <stdatomic.h>

/* A power of two, about the threads that can run at once. */
#define LANES      8
#define CACHE_LINE 64

typedef struct Counters {
  atomic_uint_fast64_t operations, bytes, failed, invalid, nanoseconds;
} Counters;

typedef struct Lane {
  _Alignas(CACHE_LINE) Counters requests[BG_STATS_KINDS];
} Lane;

struct BgStats {
  Lane lanes[LANES];
};

void bg_stats_free(BgStats *stats)
{
  g_aligned_free(stats);
}

/* Most nodes have nobody standing on them, and may be thousands. */
static BgStats *stats_of(BgNode *node)
{
  BgStats *stats = atomic_load_explicit(&node->stats, memory_order_acquire);
  if (stats)
    return stats;
  BgStats *fresh = g_aligned_alloc0(1, sizeof(BgStats), CACHE_LINE);
  if (atomic_compare_exchange_strong(&node->stats, &stats, fresh))
    return fresh;
  bg_stats_free(fresh);
  return stats;
}

static Counters *counters(BgNode *node, unsigned lane, BgStatsKind kind)
{
  return &stats_of(node)->lanes[lane % LANES].requests[kind];
}

static void add(atomic_uint_fast64_t *counter, uint64_t value)
{
  atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

void bg_stats_add(BgNode *node, unsigned lane, BgStatsKind kind, ssize_t result, int64_t nanoseconds)
{
  Counters *to = counters(node, lane, kind);
  add(result < 0 ? &to->failed : &to->operations, 1);
  if (result > 0)
    add(&to->bytes, (uint64_t)result);
  add(&to->nanoseconds, (uint64_t)nanoseconds);
}

void bg_stats_add_invalid(BgNode *node, unsigned lane, BgStatsKind kind)
{
  add(&counters(node, lane, kind)->invalid, 1);
}

static uint64_t read_counter(const atomic_uint_fast64_t *counter)
{
  return atomic_load_explicit(counter, memory_order_relaxed);
}

static void sum_up(const Counters *from, BgRequestStats *to)
{
  to->operations += read_counter(&from->operations);
  to->bytes += read_counter(&from->bytes);
  to->failed += read_counter(&from->failed);
  to->invalid += read_counter(&from->invalid);
  to->nanoseconds += read_counter(&from->nanoseconds);
}

void bg_node_stats(BgNode *node, BgNodeStats *stats)
{
  const BgStats *counted = atomic_load_explicit(&node->stats, memory_order_acquire);
  *stats = (BgNodeStats){.written_up_to = read_counter(&node->written_up_to)};
  for (unsigned lane = 0; counted && lane < LANES; lane++)
    for (unsigned kind = 0; kind < BG_STATS_KINDS; kind++)
      sum_up(&counted->lanes[lane].requests[kind], &stats->requests[kind]);
}
