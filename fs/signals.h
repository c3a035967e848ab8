/* SIGTERM, SIGINT and SIGHUP, taken by a thread of their own. */
#ifndef BGFS_SIGNALS_H
#define BGFS_SIGNALS_H

#include <glib.h>

typedef struct BgfsSignals BgfsSignals;

/* Call while there is one thread: threads that come later do not take these signals either. SIGPIPE and SIGXFSZ
 * are ignored from now on (their calls fail instead). `handler` runs in a thread of its own, once per signal, and
 * may block. NULL: errno. */
BgfsSignals *bgfs_signals_new(void (*handler)(void *data, int signal), void *data);
/* Waits for a handler that runs. NULL is fine. */
void bgfs_signals_free(BgfsSignals *signals);

#endif
