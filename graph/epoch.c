#include "graph/epoch.h"

#include <pthread.h>
#include <sched.h>

/* A power of two, some times the threads that can run at once. */
#define SLOTS      64
#define CROWD      SLOTS
#define CACHE_LINE 64

/* One cache line each, so that requests do not slow each other down. */
typedef struct {
  _Alignas(CACHE_LINE) uint64_t epoch; /* atomic: when the request in it began; 0: free */
} Slot;

struct BgEpoch {
  Slot slots[SLOTS + 1];                 /* the last one stands for all requests that found no other */
  _Alignas(CACHE_LINE) uint64_t current; /* atomic: never 0 */
  pthread_mutex_t crowd_lock;
  unsigned crowd; /* requests in the last slot */
};

/* Why passed() is right. Let M be what the caller of now() did before it got `value`, and R a request that passed() did not wait for.
 *
 * 1. R's slot held an epoch > value: R loaded `current` after that now() had raised it, and an acquire load that sees
 *    a later value of an atomic which only read-modify-writes change sees all that came before: R sees M.
 * 2. R's slot was free when passed() looked, by a read-modify-write. In the order of changes of that slot, R's claim is either
 *    later: then the claim acquires what passed()'s exchange released, so R sees M; or R's leave is earlier: then passed()
 *    acquired what the leave released, so all that R did is visible to the caller.
 * A plain load would not do in 2: nothing would order R's claim after it. The requests of the crowd share one slot, which
 * holds the epoch of the first of them until all have left, hence never a later one than theirs; it is
 * changed under a lock, by the same kinds of access. */

BgEpoch *bg_epoch_new(void)
{
  BgEpoch *epoch = g_aligned_alloc0(1, sizeof(BgEpoch), CACHE_LINE);
  epoch->current = 1;
  pthread_mutex_init(&epoch->crowd_lock, NULL);
  return epoch;
}

void bg_epoch_free(BgEpoch *epoch)
{
  if (!epoch)
    return;
  for (unsigned i = 0; i <= CROWD; i++)
    g_assert(__atomic_load_n(&epoch->slots[i].epoch, __ATOMIC_ACQUIRE) == 0);
  pthread_mutex_destroy(&epoch->crowd_lock);
  g_aligned_free(epoch);
}

/* Where this thread begins to look: different threads in different places. */
static unsigned home_slot(void)
{
  uint64_t hash = (uint64_t)pthread_self() * UINT64_C(0x9E3779B97F4A7C15);
  return hash >> 58; /* 6 bits: SLOTS */
}

static bool claim(BgEpoch *epoch, unsigned slot)
{
  uint64_t *word = &epoch->slots[slot].epoch;
  uint64_t free = 0;
  if (__atomic_load_n(word, __ATOMIC_RELAXED) != 0)
    return false;
  uint64_t now = __atomic_load_n(&epoch->current, __ATOMIC_SEQ_CST);
  return __atomic_compare_exchange_n(word, &free, now, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static unsigned join_crowd(BgEpoch *epoch)
{
  pthread_mutex_lock(&epoch->crowd_lock);
  if (epoch->crowd++ == 0) {
    uint64_t now = __atomic_load_n(&epoch->current, __ATOMIC_SEQ_CST);
    __atomic_exchange_n(&epoch->slots[CROWD].epoch, now, __ATOMIC_SEQ_CST);
  }
  pthread_mutex_unlock(&epoch->crowd_lock);
  return CROWD;
}

static void leave_crowd(BgEpoch *epoch)
{
  pthread_mutex_lock(&epoch->crowd_lock);
  g_assert(epoch->crowd > 0);
  if (--epoch->crowd == 0)
    __atomic_store_n(&epoch->slots[CROWD].epoch, 0, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&epoch->crowd_lock);
}

unsigned bg_epoch_enter(BgEpoch *epoch)
{
  unsigned home = home_slot();
  for (unsigned i = 0; i < SLOTS; i++) {
    unsigned slot = (home + i) % SLOTS;
    if (claim(epoch, slot))
      return slot;
  }
  return join_crowd(epoch);
}

void bg_epoch_leave(BgEpoch *epoch, unsigned token)
{
  if (token == CROWD)
    leave_crowd(epoch);
  else
    __atomic_store_n(&epoch->slots[token].epoch, 0, __ATOMIC_SEQ_CST);
}

uint64_t bg_epoch_now(BgEpoch *epoch)
{
  return __atomic_fetch_add(&epoch->current, 1, __ATOMIC_SEQ_CST);
}

bool bg_epoch_passed(BgEpoch *epoch, uint64_t value)
{
  for (unsigned i = 0; i <= CROWD; i++) {
    uint64_t *word = &epoch->slots[i].epoch;
    uint64_t began = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    if (began == 0)
      began = __atomic_fetch_add(word, 0, __ATOMIC_SEQ_CST);
    if (began != 0 && began <= value)
      return false;
  }
  return true;
}
