#include "graph/gate.h"

#include <criterion/criterion.h>
#include <glib.h>

TestSuite(gate, .timeout = 30);

Test(gate, is_open_at_first_and_holds_any_number)
{
  BgGate gate;
  bg_gate_init(&gate);
  bg_gate_enter(&gate);
  cr_assert(bg_gate_tryenter(&gate));
  bg_gate_leave(&gate);
  bg_gate_leave(&gate);
  bg_gate_clear(&gate);
}

Test(gate, closes_at_once_when_empty_and_keeps_out)
{
  BgGate gate;
  bg_gate_init(&gate);
  cr_assert(bg_gate_close(&gate, 0));
  cr_assert(!bg_gate_tryenter(&gate));
  bg_gate_open(&gate);
  cr_assert(bg_gate_tryenter(&gate));
  bg_gate_leave(&gate);
  bg_gate_clear(&gate);
}

Test(gate, a_close_that_runs_out_of_time_changes_nothing)
{
  BgGate gate;
  bg_gate_init(&gate);
  bg_gate_enter(&gate);
  gint64 before = g_get_monotonic_time();
  cr_assert(!bg_gate_close(&gate, 50));
  gint64 waited = g_get_monotonic_time() - before;
  cr_assert(waited >= 50000 && waited < 5000000);
  cr_assert(bg_gate_tryenter(&gate), "open again");
  bg_gate_leave(&gate);
  bg_gate_leave(&gate);
  cr_assert(bg_gate_close(&gate, 0));
  bg_gate_open(&gate);
  bg_gate_clear(&gate);
}

typedef struct {
  BgGate *gate;
  int inside;
} Entrant;

static void *enter_and_tell(void *data)
{
  Entrant *entrant = data;
  bg_gate_enter(entrant->gate);
  __atomic_store_n(&entrant->inside, 1, __ATOMIC_SEQ_CST);
  bg_gate_leave(entrant->gate);
  return NULL;
}

Test(gate, entrants_wait_until_it_opens)
{
  BgGate gate;
  bg_gate_init(&gate);
  cr_assert(bg_gate_close(&gate, 1000));
  Entrant entrant = {.gate = &gate};
  GThread *thread = g_thread_new("entrant", enter_and_tell, &entrant);
  g_usleep(30000);
  cr_assert(!__atomic_load_n(&entrant.inside, __ATOMIC_SEQ_CST));
  bg_gate_open(&gate);
  g_thread_join(thread);
  cr_assert(__atomic_load_n(&entrant.inside, __ATOMIC_SEQ_CST));
  bg_gate_clear(&gate);
}

static void *leave_later(void *data)
{
  g_usleep(30000);
  bg_gate_leave(data);
  return NULL;
}

Test(gate, close_waits_for_those_inside)
{
  BgGate gate;
  bg_gate_init(&gate);
  bg_gate_enter(&gate);
  GThread *thread = g_thread_new("leaver", leave_later, &gate);
  cr_assert(bg_gate_close(&gate, 10000));
  g_thread_join(thread);
  bg_gate_open(&gate);
  bg_gate_clear(&gate);
}

/* Requests read what a change writes, both without a lock: only the gate keeps them apart. */
typedef struct {
  BgGate *gate;
  uint64_t *halves; /* always equal, seen from inside */
  int *stop;
  unsigned torn;
} Reader;

static void *read_in_a_loop(void *data)
{
  Reader *reader = data;
  while (!__atomic_load_n(reader->stop, __ATOMIC_RELAXED)) {
    bg_gate_enter(reader->gate);
    reader->torn += reader->halves[0] != reader->halves[1];
    bg_gate_leave(reader->gate);
  }
  return NULL;
}

static void change(BgGate *gate, uint64_t *halves)
{
  cr_assert(bg_gate_close(gate, 10000));
  halves[0]++;
  sched_yield();
  halves[1]++;
  bg_gate_open(gate);
}

Test(gate, nobody_is_inside_while_it_is_closed)
{
  BgGate gate;
  bg_gate_init(&gate);
  uint64_t halves[2] = {0};
  int stop = 0;
  Reader readers[4];
  GThread *threads[G_N_ELEMENTS(readers)];
  for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++) {
    readers[i] = (Reader){.gate = &gate, .halves = halves, .stop = &stop};
    threads[i] = g_thread_new("reader", read_in_a_loop, &readers[i]);
  }
  for (unsigned i = 0; i < 500; i++)
    change(&gate, halves);
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++) {
    g_thread_join(threads[i]);
    cr_assert_eq(readers[i].torn, 0);
  }
  cr_assert_eq(halves[0], 500);
  bg_gate_clear(&gate);
}

/* A closer may free the gate as soon as close returns: the last one to leave must not touch it any more. */
static void *leave_now(void *data)
{
  bg_gate_leave(data);
  return NULL;
}

Test(gate, may_be_freed_after_close)
{
  for (unsigned i = 0; i < 300; i++) {
    BgGate *gate = g_new0(BgGate, 1);
    bg_gate_init(gate);
    bg_gate_enter(gate);
    GThread *thread = g_thread_new("leaver", leave_now, gate);
    cr_assert(bg_gate_close(gate, 10000));
    bg_gate_clear(gate);
    memset(gate, 0xff, sizeof(*gate));
    g_free(gate);
    g_thread_join(thread);
  }
}
