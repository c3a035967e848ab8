/* Who holds an image lock. The kernel does not say it of open file description locks; /proc/PID/fdinfo/FD does. */
#ifndef BG_FILE_HOLDER_H
#define BG_FILE_HOLDER_H

#include <sys/types.h>

/* "process 1234 (qemu-io)", "this process", or "another process" where it cannot be told: who has a lock on `byte` of the file open as `fd`,
 * other than through `fd`. `pid` is the holder where that is known, else -1. *last_holder (0: none) is looked at first and set to
 * whom was found: asking again for the same lock is cheap. Takes at most a quarter of a second. Caller frees. */
char *bg_file_lock_holder(int fd, off_t byte, pid_t pid, pid_t *last_holder);

#endif
