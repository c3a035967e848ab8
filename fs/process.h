/* Other processes. */
#ifndef BGFS_PROCESS_H
#define BGFS_PROCESS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* A descriptor that stands for the process; -1 on error. Caller closes. */
int bgfs_process_open(pid_t pid, GError **error);

/* Waits for its end. False if `seconds` pass (ETIMEDOUT), or if it is known to have ended with a failure. */
bool bgfs_process_wait(int descriptor, pid_t pid, unsigned seconds, GError **error);

/* Who uses files below an absolute path, as far as it can be seen: "dd (123), bash (45)"; "" if nobody. Asks no
 * file system. Caller frees. */
char *bgfs_process_users(const char *path);

/* Whether the thread has been killed, by SIGKILL or any other signal that ends it without a core dump, or is on its way out with its whole
 * process: it will not come back from the kernel. False where that is not known, as for 0. Never blocks. */
bool bgfs_process_is_dying(pid_t thread);

#endif
