#include "fs/space.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/falloc.h>

Test(space, a_disk_keeps_its_size_when_it_is_cut)
{
  cr_assert_eq(bgfs_truncate_action(1000, 0, false), BGFS_TRUNCATE_ZERO_TAIL);
  cr_assert_eq(bgfs_truncate_action(1000, 999, false), BGFS_TRUNCATE_ZERO_TAIL);
  cr_assert_eq(bgfs_truncate_action(1000, 1000, false), BGFS_TRUNCATE_NOTHING);
  cr_assert_eq(bgfs_truncate_action(1000, 1001, false), BGFS_TRUNCATE_RESIZE);
}

Test(space, a_host_files_bytes_follow)
{
  cr_assert_eq(bgfs_truncate_action(1000, 0, true), BGFS_TRUNCATE_RESIZE);
  cr_assert_eq(bgfs_truncate_action(1000, 1000, true), BGFS_TRUNCATE_NOTHING);
  cr_assert_eq(bgfs_truncate_action(1000, 2000, true), BGFS_TRUNCATE_RESIZE);
}

Test(space, fallocate_modes)
{
  cr_assert_eq(bgfs_fallocate_action(0, 1000, 1000), BGFS_FALLOCATE_REFUSE);
  cr_assert_eq(bgfs_fallocate_action(0, 1000, 1001), BGFS_FALLOCATE_GROW);
  cr_assert_eq(bgfs_fallocate_action(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 10), BGFS_FALLOCATE_PUNCH);
  cr_assert_eq(bgfs_fallocate_action(FALLOC_FL_ZERO_RANGE, 1000, 10), BGFS_FALLOCATE_ZERO);
  cr_assert_eq(bgfs_fallocate_action(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1000, 2000), BGFS_FALLOCATE_ZERO);
  cr_assert_eq(bgfs_fallocate_action(FALLOC_FL_KEEP_SIZE, 1000, 2000), BGFS_FALLOCATE_REFUSE);
  cr_assert_eq(bgfs_fallocate_action(FALLOC_FL_COLLAPSE_RANGE, 1000, 10), BGFS_FALLOCATE_REFUSE);
  cr_assert_eq(bgfs_fallocate_action(FALLOC_FL_PUNCH_HOLE, 1000, 10), BGFS_FALLOCATE_REFUSE);
}
