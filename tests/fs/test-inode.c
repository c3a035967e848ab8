#include "fake-graph.h"
#include "fs/inode.h"

#include <criterion/criterion.h>

Test(inode, one_per_node)
{
  BgNode nodes[3] = {{0}};
  BgfsInodes *inodes = bgfs_inodes_new();
  cr_assert_null(bgfs_inodes_find(inodes, &nodes[0]));
  BgfsInode *first = bgfs_inodes_of_node(inodes, &nodes[0]);
  BgfsInode *second = bgfs_inodes_of_node(inodes, &nodes[1]);
  cr_assert_neq(first, second);
  cr_assert_neq(first->ino, second->ino);
  cr_assert_eq(first->node, &nodes[0]);
  cr_assert_eq(bgfs_inodes_of_node(inodes, &nodes[0]), first);
  cr_assert_eq(bgfs_inodes_find(inodes, &nodes[1]), second);
  cr_assert_eq(bgfs_inodes_get(inodes, second->ino), second);
  cr_assert_null(bgfs_inodes_find(inodes, &nodes[2]));
  bgfs_inodes_free(inodes);
}

Test(inode, numbers_that_stand_for_no_node)
{
  BgNode node = {0};
  BgfsInodes *inodes = bgfs_inodes_new();
  BgfsInode *inode = bgfs_inodes_of_node(inodes, &node);
  cr_assert_null(bgfs_inodes_get(inodes, BGFS_INO_ROOT));
  cr_assert_null(bgfs_inodes_get(inodes, BGFS_INO_GRAPH));
  cr_assert_null(bgfs_inodes_get(inodes, inode->ino + 1));
  cr_assert_null(bgfs_inodes_get(inodes, UINT64_MAX));
  bgfs_inodes_free(inodes);
}

Test(inode, users_that_are_left_go_with_the_table)
{
  BgNode node = {.write_perm = BG_PERM_WRITE};
  BgfsInodes *inodes = bgfs_inodes_new();
  cr_assert(bgfs_file_acquire(&bgfs_inodes_of_node(inodes, &node)->file, BGFS_WRITE, NULL));
  cr_assert_eq(node.users, 1);
  bgfs_inodes_free(inodes);
  cr_assert_eq(node.users, 0);
}

Test(inode, a_file_shows_what_took_its_nodes_place)
{
  BgNode disk = {.name = "disk"}, copy = {.name = "copy"}, third = {.name = "third"};
  BgfsInodes *inodes = bgfs_inodes_new();
  BgfsInode *file = bgfs_inodes_of_node(inodes, &disk), *own = bgfs_inodes_of_node(inodes, &copy);
  cr_assert_null(bgfs_inodes_named(inodes, "disk"));
  bgfs_inodes_replace(inodes, &disk, &copy);
  cr_assert_eq(bgfs_inodes_named(inodes, "disk"), file, "the same file");
  cr_assert_eq(file->node, &copy);
  cr_assert_eq(file->file.node, &copy);
  cr_assert_eq(bgfs_inodes_of_node(inodes, &copy), own, "beside the file of its own name");
  g_autoptr(GPtrArray) both = bgfs_inodes_showing(inodes, &copy);
  cr_assert_eq(both->len, 2);

  bgfs_inodes_replace(inodes, &copy, &third);
  cr_assert_eq(file->node, &third);
  cr_assert_eq(own->node, &third);
  cr_assert_eq(bgfs_inodes_named(inodes, "copy"), own);
  g_autoptr(GPtrArray) none = bgfs_inodes_showing(inodes, &copy);
  cr_assert_eq(none->len, 0);

  bgfs_inodes_forget(inodes, &third);
  cr_assert_null(bgfs_inodes_named(inodes, "disk"));
  cr_assert_neq(bgfs_inodes_of_node(inodes, &disk), file, "numbers are never used again");
  bgfs_inodes_free(inodes);
}
