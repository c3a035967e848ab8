/* SIGINT and SIGTERM as something that can be waited for beside a socket. */
#ifndef BGFS_CTL_INTERRUPT_H
#define BGFS_CTL_INTERRUPT_H

#include <glib.h>
#include <stdbool.h>

/* From now on they do not end the process. A descriptor that can be read when one came; -1 and error on failure. For the rest of the process. */
int bgfs_ctl_interrupt_new(GError **error);
/* Whether one came since the last call. Never waits. */
bool bgfs_ctl_interrupt_take(int interrupt);

#endif
