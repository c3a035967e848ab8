/* Where messages go: stderr in front, syslog for a daemon. */
#ifndef BGFS_LOG_H
#define BGFS_LOG_H

#include <stdbool.h>

/* Takes over GLib's and libfuse's messages: one line each, on stderr. `debug`: debug messages too. Call once. */
void bgfs_log_start(bool debug);
/* From now on to syslog. Any thread. */
void bgfs_log_to_syslog(void);

#endif
