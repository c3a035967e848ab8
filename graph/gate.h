/* A gate that requests pass and a change closes: once close has returned true, nobody is inside.
 *
 * A thread enters a gate once (no nesting) and waits for no other gate, lock of the graph, or job while inside. */
#ifndef BG_GATE_H
#define BG_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BgGate {
  uint32_t word; /* atomic: entrants inside, and the top bit while closed */
  pthread_mutex_t lock;
  pthread_cond_t opened;
  pthread_cond_t emptied;
} BgGate;

void bg_gate_init(BgGate *gate); /* open */
/* Nobody is inside or waits; open or closed. */
void bg_gate_clear(BgGate *gate);

/* Waits while the gate is closed (as long as the change that closed it takes: its steps are bounded). */
void bg_gate_enter(BgGate *gate);
/* False instead of waiting. */
bool bg_gate_tryenter(BgGate *gate);
void bg_gate_leave(BgGate *gate);

/* Stops new entrants and waits until all inside have left, at most `timeout_ms`. False: not everybody left; the gate is
 * open again and nothing changed. One closer at a time (the marks of a change see to that), who must not
 * be inside. */
bool bg_gate_close(BgGate *gate, unsigned timeout_ms);
/* By the closer, after close returned true. */
void bg_gate_open(BgGate *gate);

#endif
