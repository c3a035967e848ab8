#include "graph/perm.h"

#include <criterion/criterion.h>

#define CR  BG_PERM_CONSISTENT_READ
#define W   BG_PERM_WRITE
#define WU  BG_PERM_WRITE_UNCHANGED
#define RE  BG_PERM_RESIZE
#define ALL BG_PERM_ALL

static void check(unsigned role, bool writable, BgPerm perm, BgPerm shared, BgPerm expected_perm,
                  BgPerm expected_shared)
{
  BgPerm child_perm = ALL, child_shared = BG_PERM_NONE;
  bg_perm_by_role(role, writable, perm, shared, &child_perm, &child_shared);
  cr_assert_eq(child_perm, expected_perm, "role %x perm %x shared %x: perm %x", role, perm, shared, child_perm);
  cr_assert_eq(child_shared, expected_shared, "role %x perm %x shared %x: shared %x", role, perm, shared, child_shared);
}

Test(perm, a_filter_passes_both_on)
{
  unsigned role = BG_ROLE_FILTERED | BG_ROLE_PRIMARY;
  for (unsigned perm = 0; perm <= ALL; perm++)
    for (unsigned shared = 0; shared <= ALL; shared++)
      check(role, false, perm, shared, perm, shared);
}

Test(perm, a_filter_that_stays_writable_keeps_write)
{
  check(BG_ROLE_FILTERED, true, BG_PERM_NONE, ALL, W, ALL);
}

Test(perm, an_overlay_in_use_reads_and_shares_no_writing_whatever_is_shared_with_it)
{
  check(BG_ROLE_COW, false, CR, ALL, CR, CR | WU);
  check(BG_ROLE_COW, true, CR | W | RE, ALL, CR, CR | WU);
  check(BG_ROLE_COW, true, W, CR | WU, CR, CR | WU);
  check(BG_ROLE_COW, true, WU, BG_PERM_NONE, CR, CR | WU);
}

Test(perm, an_overlay_that_nobody_uses_stands_in_no_ones_way)
{
  check(BG_ROLE_COW, false, BG_PERM_NONE, ALL, BG_PERM_NONE, ALL);
  check(BG_ROLE_COW, true, BG_PERM_NONE, ALL, BG_PERM_NONE, ALL);
}

Test(perm, a_format_never_shares_its_metadata_for_writing)
{
  unsigned role = BG_ROLE_METADATA | BG_ROLE_DATA | BG_ROLE_PRIMARY;
  check(role, false, BG_PERM_NONE, ALL, CR, CR | WU);
  check(role, false, CR, ALL, CR, CR | WU);
  check(role, false, CR | W, CR | WU, CR | W | RE, CR | WU);
  check(BG_ROLE_METADATA, true, BG_PERM_NONE, ALL, CR | W | RE, CR | WU);
}

Test(perm, data_may_have_to_grow)
{
  check(BG_ROLE_DATA, false, CR, ALL, CR, ALL);
  check(BG_ROLE_DATA, false, CR | W, CR, CR | W | RE, CR);
  check(BG_ROLE_DATA, true, BG_PERM_NONE, ALL, W | RE, ALL);
}

Test(perm, only_writers_take_write)
{
  static const unsigned roles[] = {BG_ROLE_DATA, BG_ROLE_METADATA, BG_ROLE_FILTERED, BG_ROLE_COW};
  for (unsigned i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
    BgPerm perm, shared;
    bg_perm_by_role(roles[i], false, CR, ALL, &perm, &shared);
    cr_assert_eq(perm & BG_PERM_ANY_WRITE, BG_PERM_NONE);
  }
}
