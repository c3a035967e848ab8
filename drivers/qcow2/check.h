/* Checking and mending an image. */
#ifndef BG_QCOW2_CHECK_H
#define BG_QCOW2_CHECK_H

#include "drivers/qcow2/image.h"

/* BgDriver.check. */
bool qcow2_check(void *instance, BgFix fix, BgCheckWatcher *watcher, BgCheckResult *result, GError **error);
/* For the first writer of an image that is marked dirty: mends refcounts and flags and takes the mark off, unless something
 * else is wrong too (EROFS, nothing changed) or it takes longer than a writer can wait (EBUSY). The file is writable. */
bool qcow2_check_dirty(Qcow2 *q, GError **error);

#endif
