/* Image locks, the same as QEMU's: open file description locks, shared, one byte each. Byte 100+i says "permission i is held", byte
 * 200+i "permission i is not shared", i being the number of the BgPerm bit. A conflict is found by testing whether an exclusive lock
 * would be granted on the opposite byte. */
#ifndef BG_FILE_LOCK_H
#define BG_FILE_LOCK_H

#include "drivers/perm.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct BgFileLocks {
  BgPerm held;
  BgPerm unshared;
} BgFileLocks;

BgFileLocks bg_file_locks_union(BgFileLocks a, BgFileLocks b);
/* What `a` has and `b` has not. */
BgFileLocks bg_file_locks_minus(BgFileLocks a, BgFileLocks b);

/* Takes the locks through `fd`. 0; -EAGAIN where an exclusive lock of another is in the way (`*byte` tells where); -ENOTSUP where the
 * file system or kernel has no such locks; else -errno. Then none of them is held. */
int bg_file_lock(int fd, BgFileLocks locks, off_t *byte);
void bg_file_unlock(int fd, BgFileLocks locks);

/* Whether everybody else agrees with `locks`; those that are held through `fd` itself never conflict. EBUSY names the permission and the
 * holder. `last_holder` as in holder.h. */
bool bg_file_locks_check(int fd, BgFileLocks locks, pid_t *last_holder, GError **error);

/* EBUSY for a lock that could not be taken because of an exclusive one at `byte`. */
void bg_file_locks_set_busy(int fd, off_t byte, pid_t *last_holder, GError **error);

#endif
