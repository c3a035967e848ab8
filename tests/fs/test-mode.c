#include "fs/mode.h"

#include <criterion/criterion.h>

Test(mode, the_owners_w_follows_the_node)
{
  cr_assert_eq(bgfs_mode(0644, true), 0644);
  cr_assert_eq(bgfs_mode(0644, false), 0444);
  cr_assert_eq(bgfs_mode(0600, true), 0600);
  cr_assert_eq(bgfs_mode(0600, false), 0400);
  cr_assert_eq(bgfs_mode(0444, true), 0644, "root may write what nobody may");
}

Test(mode, group_and_others_write_only_where_the_owner_does)
{
  cr_assert_eq(bgfs_mode(0666, true), 0666);
  cr_assert_eq(bgfs_mode(0666, false), 0444);
  cr_assert_eq(bgfs_mode(0660, true), 0660);
}

Test(mode, nothing_private_becomes_public)
{
  for (mode_t host = 0; host <= 07777; host++) {
    for (int writable = 0; writable <= 1; writable++) {
      mode_t mode = bgfs_mode(host, writable);
      cr_assert_eq(mode & 077 & ~host, 0, "%o shows as %o", host, mode);
      cr_assert_eq(mode & 07111, 0);
      cr_assert_eq(mode & 0400, host & 0400);
    }
  }
}

Test(mode, chmod_pins_and_unpins)
{
  cr_assert_eq(bgfs_mode_pin(0444), BGFS_PIN_SET);
  cr_assert_eq(bgfs_mode_pin(0555), BGFS_PIN_SET);
  cr_assert_eq(bgfs_mode_pin(0644), BGFS_PIN_CLEAR);
  cr_assert_eq(bgfs_mode_pin(0200), BGFS_PIN_CLEAR);
  cr_assert_eq(bgfs_mode_pin(0464), BGFS_PIN_KEEP);
}
