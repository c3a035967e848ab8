/* Default permissions of an edge, by its role. Pure. */
#ifndef BG_GRAPH_PERM_H
#define BG_GRAPH_PERM_H

#include "drivers/perm.h"

#include <stdbool.h>

/* What a parent that is asked for `perm` by those above it, and allowed `shared` by them, takes on a child of `role` and
 * shares of it. `writable`: the parent is or becomes writable, whether or not anybody holds WRITE at the moment (pinned, or
 * its downgrade is still to come).
 *
 * FILTERED passes both on. DATA adds RESIZE to WRITE (the child may have to grow). METADATA always takes CONSISTENT_READ and never
 * shares WRITE or RESIZE. COW takes CONSISTENT_READ, and shares neither WRITE nor RESIZE, while the parent is in use,
 * and nothing otherwise. (QEMU, block.c: bdrv_default_perms; the differences are SEMANTICS'.) */
void bg_perm_by_role(unsigned role, bool writable, BgPerm perm, BgPerm shared, BgPerm *child_perm,
                     BgPerm *child_shared);

#endif
