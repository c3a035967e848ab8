/* Answers "are all requests done that began before this moment?" at the price of two atomic operations a request. */
#ifndef BG_EPOCH_H
#define BG_EPOCH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BgEpoch BgEpoch;

BgEpoch *bg_epoch_new(void);
/* No request is inside. NULL is fine. */
void bg_epoch_free(BgEpoch *epoch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgEpoch, bg_epoch_free)

/* A request begins; the token goes to leave(), from any thread. Never waits for other requests to leave. */
unsigned bg_epoch_enter(BgEpoch *epoch);
void bg_epoch_leave(BgEpoch *epoch, unsigned token);

/* A value for "now". Whoever calls this has finished the change that later requests shall see. Never 0. */
uint64_t bg_epoch_now(BgEpoch *epoch);

/* True if every request that began before now() returned `value` has left: all it did is visible to the caller, and every
 * request that is inside or comes sees what the caller did before that now(). May stay false
 * somewhat longer than needed when more requests run than the machine could ever serve at once. Never waits. */
bool bg_epoch_passed(BgEpoch *epoch, uint64_t value);

#endif
