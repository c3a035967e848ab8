/* Trying again what only stands in the way of files that were closed already. */
#ifndef BGFS_QMP_RETRY_H
#define BGFS_QMP_RETRY_H

#include "fs/qmp/command.h"

typedef bool BgfsQmpAttempt(const BgfsQmpMount *mount, void *data, GError **error);

/* Calls `attempt`; again, for at most BGFS_CLOSING_WAIT, while it is refused with EBUSY and handles are on their way out: close(2) returns before the
 * kernel's RELEASE arrives. */
bool bgfs_qmp_retry(const BgfsQmpMount *mount, BgfsQmpAttempt *attempt, void *data, GError **error);

#endif
