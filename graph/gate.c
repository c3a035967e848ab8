#include "graph/gate.h"

#include "drivers/clock.h"

#include <errno.h>
#include <glib.h>

#define CLOSED (UINT32_C(1) << 31)

void bg_gate_init(BgGate *gate)
{
  *gate = (BgGate){0};
  pthread_mutex_init(&gate->lock, NULL);
  pthread_cond_init(&gate->opened, NULL);
  bg_clock_cond_init(&gate->emptied);
}

void bg_gate_clear(BgGate *gate)
{
  g_assert((__atomic_load_n(&gate->word, __ATOMIC_ACQUIRE) & ~CLOSED) == 0);
  pthread_cond_destroy(&gate->emptied);
  pthread_cond_destroy(&gate->opened);
  pthread_mutex_destroy(&gate->lock);
}

/* Entrants count themselves first and look afterwards, so that a closer who sees nobody cannot have missed one. The first
 * look only keeps retries from disturbing the closer. */
bool bg_gate_tryenter(BgGate *gate)
{
  if (__atomic_load_n(&gate->word, __ATOMIC_RELAXED) & CLOSED)
    return false;
  uint32_t before = __atomic_fetch_add(&gate->word, 1, __ATOMIC_ACQUIRE);
  g_assert((before & ~CLOSED) < CLOSED - 1);
  if (!(before & CLOSED))
    return true;
  bg_gate_leave(gate);
  return false;
}

void bg_gate_enter(BgGate *gate)
{
  while (!bg_gate_tryenter(gate)) {
    pthread_mutex_lock(&gate->lock);
    while (__atomic_load_n(&gate->word, __ATOMIC_RELAXED) & CLOSED)
      pthread_cond_wait(&gate->opened, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
  }
}

static void leave_closed(BgGate *gate)
{
  pthread_mutex_lock(&gate->lock);
  if (__atomic_sub_fetch(&gate->word, 1, __ATOMIC_RELEASE) == CLOSED)
    pthread_cond_signal(&gate->emptied);
  pthread_mutex_unlock(&gate->lock);
}

/* At a closed gate the count goes down under the lock: the closer may free the gate once it sees nobody inside, so it must not see
 * that before the last one is done with lock and condition. */
void bg_gate_leave(BgGate *gate)
{
  uint32_t word = __atomic_load_n(&gate->word, __ATOMIC_RELAXED);
  do {
    g_assert((word & ~CLOSED) > 0);
    if (word & CLOSED) {
      leave_closed(gate);
      return;
    }
  } while (!__atomic_compare_exchange_n(&gate->word, &word, word - 1, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void reopen(BgGate *gate)
{
  __atomic_and_fetch(&gate->word, ~CLOSED, __ATOMIC_RELEASE);
  pthread_cond_broadcast(&gate->opened);
}

static bool wait_until_empty(BgGate *gate, const struct timespec *deadline)
{
  int waited = 0;
  while (__atomic_load_n(&gate->word, __ATOMIC_ACQUIRE) != CLOSED) {
    if (waited == ETIMEDOUT)
      return false;
    waited = pthread_cond_timedwait(&gate->emptied, &gate->lock, deadline);
  }
  return true;
}

bool bg_gate_close(BgGate *gate, unsigned timeout_ms)
{
  struct timespec deadline = bg_clock_after(timeout_ms);
  pthread_mutex_lock(&gate->lock);
  uint32_t before = __atomic_fetch_or(&gate->word, CLOSED, __ATOMIC_ACQUIRE);
  g_assert(!(before & CLOSED));
  bool empty = wait_until_empty(gate, &deadline);
  if (!empty)
    reopen(gate);
  pthread_mutex_unlock(&gate->lock);
  return empty;
}

void bg_gate_open(BgGate *gate)
{
  pthread_mutex_lock(&gate->lock);
  g_assert(__atomic_load_n(&gate->word, __ATOMIC_RELAXED) & CLOSED);
  reopen(gate);
  pthread_mutex_unlock(&gate->lock);
}
