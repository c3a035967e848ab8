#include "graph/perm.h"

static void cow_perm(BgPerm perm, BgPerm *child_perm, BgPerm *child_shared)
{
  *child_perm = perm ? BG_PERM_CONSISTENT_READ : BG_PERM_NONE;
  *child_shared = perm ? BG_PERM_ALL & ~(BG_PERM_WRITE | BG_PERM_RESIZE) : BG_PERM_ALL;
}

static void storage_perm(unsigned role, bool writable, BgPerm perm, BgPerm shared, BgPerm *child_perm,
                         BgPerm *child_shared)
{
  *child_perm = perm;
  *child_shared = shared;
  if (writable || (perm & BG_PERM_WRITE))
    *child_perm |= BG_PERM_WRITE | BG_PERM_RESIZE;
  if (role & BG_ROLE_METADATA) {
    *child_perm |= BG_PERM_CONSISTENT_READ;
    *child_shared &= ~(BG_PERM_WRITE | BG_PERM_RESIZE);
  }
}

void bg_perm_by_role(unsigned role, bool writable, BgPerm perm, BgPerm shared, BgPerm *child_perm, BgPerm *child_shared)
{
  if (role & BG_ROLE_COW) {
    cow_perm(perm, child_perm, child_shared);
  } else if (role & (BG_ROLE_DATA | BG_ROLE_METADATA)) {
    storage_perm(role, writable, perm, shared, child_perm, child_shared);
  } else {
    *child_perm = perm | (writable ? BG_PERM_WRITE : BG_PERM_NONE);
    *child_shared = shared;
  }
}
