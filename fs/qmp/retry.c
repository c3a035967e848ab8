#include "fs/qmp/retry.h"

#include "drivers/error.h"

#include <errno.h>

bool bgfs_qmp_retry(const BgfsQmpMount *mount, BgfsQmpAttempt *attempt, void *data, GError **error)
{
  int64_t deadline = g_get_monotonic_time() + BGFS_CLOSING_WAIT;
  for (;;) {
    uint64_t gone = mount->closing ? bgfs_closing_count(mount->closing) : 0;
    g_autoptr(GError) refusal = NULL;
    if (attempt(mount, data, &refusal))
      return true;
    if (bg_error_errno(refusal) != EBUSY || !mount->closing || !bgfs_closing_wait(mount->closing, gone, deadline)) {
      g_propagate_error(error, g_steal_pointer(&refusal));
      return false;
    }
  }
}
