#include "drivers/perm.h"

const char *bg_perm_name(BgPerm perm)
{
  if (perm & BG_PERM_CONSISTENT_READ)
    return "consistent read";
  if (perm & BG_PERM_WRITE)
    return "write";
  if (perm & BG_PERM_WRITE_UNCHANGED)
    return "write unchanged";
  if (perm & BG_PERM_RESIZE)
    return "resize";
  return "none";
}
