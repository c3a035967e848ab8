#include "fake-graph.h"
#include "fs/file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>

static BgNode fixed_node(void)
{
  return (BgNode){.write_perm = BG_PERM_WRITE};
}

Test(file, access_follows_the_open_flags)
{
  cr_assert_eq(bgfs_access(O_RDONLY | O_TRUNC, BGFS_CACHING_AUTO), BGFS_READ);
  cr_assert_eq(bgfs_access(O_WRONLY | O_APPEND, BGFS_CACHING_AUTO), BGFS_WRITE);
  cr_assert_eq(bgfs_access(O_RDWR, BGFS_CACHING_AUTO), BGFS_READ | BGFS_WRITE);
  cr_assert_eq(bgfs_access(O_WRONLY, BGFS_CACHING_WRITEBACK), BGFS_READ | BGFS_WRITE,
               "the kernel's write-back reads through writers");
}

Test(file, a_reader_shares_everything)
{
  BgNode node = fixed_node();
  BgfsFile file = {.node = &node};
  cr_assert(bgfs_file_acquire(&file, BGFS_READ, NULL));
  cr_assert_eq(file.user->perm, BG_PERM_CONSISTENT_READ);
  cr_assert_eq(file.user->shared, BG_PERM_ALL);
  cr_assert(bgfs_file_release(&file, BGFS_READ, NULL));
  cr_assert_null(file.user);
  cr_assert_eq(node.users, 0);
  cr_assert_eq(node.flushes, 0, "a reader has nothing to flush");
}

Test(file, handles_share_one_user_and_change_it_only_when_needed)
{
  BgNode node = fixed_node();
  BgfsFile file = {.node = &node};
  cr_assert(bgfs_file_acquire(&file, BGFS_READ, NULL));
  BgUser *user = file.user;
  cr_assert(bgfs_file_acquire(&file, BGFS_READ, NULL));
  cr_assert_eq(node.changes, 1);
  cr_assert(bgfs_file_acquire(&file, BGFS_WRITE, NULL));
  cr_assert(bgfs_file_acquire(&file, BGFS_READ | BGFS_WRITE, NULL));
  cr_assert_eq(node.changes, 2);
  cr_assert_eq(file.user, user);
  cr_assert_eq(node.users, 1);
  cr_assert_eq(user->perm, BG_PERM_CONSISTENT_READ | BG_PERM_WRITE);
  cr_assert_eq(user->shared, BG_USER_WRITE_SHARED);
  bgfs_file_clear(&file);
}

Test(file, the_last_writer_flushes_before_it_gives_up_writing)
{
  BgNode node = fixed_node();
  BgfsFile file = {.node = &node};
  cr_assert(bgfs_file_acquire(&file, BGFS_READ, NULL));
  cr_assert(bgfs_file_acquire(&file, BGFS_WRITE, NULL));
  cr_assert(bgfs_file_acquire(&file, BGFS_WRITE, NULL));
  cr_assert(bgfs_file_release(&file, BGFS_WRITE, NULL));
  cr_assert_eq(node.flushes, 0, "another writer is left");
  cr_assert(bgfs_file_release(&file, BGFS_WRITE, NULL));
  cr_assert_eq(node.flushes, 1);
  cr_assert(node.flushed_with & BG_PERM_WRITE);
  cr_assert_eq(file.user->perm, BG_PERM_CONSISTENT_READ);
  cr_assert_eq(file.user->shared, BG_PERM_ALL);
  bgfs_file_clear(&file);
}

Test(file, a_writer_alone_does_not_read)
{
  BgNode node = {.write_perm = BG_PERM_WRITE | BG_PERM_RESIZE};
  BgfsFile file = {.node = &node};
  cr_assert(bgfs_file_acquire(&file, BGFS_WRITE, NULL));
  cr_assert_eq(file.user->perm, BG_PERM_WRITE | BG_PERM_RESIZE);
  cr_assert(bgfs_file_acquire(&file, BGFS_READ, NULL));
  cr_assert_eq(file.user->perm, BG_PERM_WRITE | BG_PERM_RESIZE | BG_PERM_CONSISTENT_READ);
  bgfs_file_clear(&file);
}

Test(file, a_refusal_changes_nothing)
{
  BgNode node = fixed_node();
  BgfsFile file = {.node = &node};
  g_autoptr(GError) error = NULL;
  node.refuse = EROFS;
  cr_assert_not(bgfs_file_acquire(&file, BGFS_WRITE, &error));
  cr_assert_eq(bg_error_errno(error), EROFS);
  cr_assert_null(file.user);

  node.refuse = 0;
  cr_assert(bgfs_file_acquire(&file, BGFS_READ, NULL));
  node.refuse = EBUSY;
  cr_assert_not(bgfs_file_acquire(&file, BGFS_WRITE, NULL));
  cr_assert_eq(file.writers, 0);
  cr_assert_eq(file.user->perm, BG_PERM_CONSISTENT_READ);
  cr_assert(bgfs_file_acquire(&file, BGFS_READ, NULL), "one more reader needs no change");
  bgfs_file_clear(&file);
}

Test(file, a_failed_flush_is_told_and_the_handle_leaves)
{
  BgNode node = fixed_node();
  BgfsFile file = {.node = &node};
  g_autoptr(GError) error = NULL;
  cr_assert(bgfs_file_acquire(&file, BGFS_WRITE, NULL));
  node.flush_result = -EIO;
  cr_assert_not(bgfs_file_release(&file, BGFS_WRITE, &error));
  cr_assert_eq(bg_error_errno(error), EIO);
  cr_assert_null(file.user);
  cr_assert_eq(node.users, 0);
}
