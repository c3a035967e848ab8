#include "tests/drivers/mem-child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static void assert_bytes(BgChild *child, uint64_t offset, const char *expected, size_t length)
{
  char got[64];
  cr_assert_leq(length, sizeof got);
  memset(got, 'x', sizeof got);
  cr_assert_eq(bg_child_pread(child, got, length, offset), 0);
  cr_assert_eq(memcmp(got, expected, length), 0);
}

Test(mem_child, reads_zeros_past_its_end_and_grows)
{
  g_autoptr(BgChild) child = mem_child_new(4);
  assert_bytes(child, 2, "\0\0\0\0", 4);
  cr_assert_eq(bg_child_pwrite(child, "abc", 3, 3), 0);
  cr_assert_eq(child->ops->size(child), 6);
  assert_bytes(child, 2, "\0abc\0", 5);
  cr_assert_eq(bg_child_pwrite(child, "z", 1, (uint64_t)3 << 30), 0);
  cr_assert_eq(child->ops->size(child), ((int64_t)3 << 30) + 1);
}

Test(mem_child, resize_leaves_nothing_behind)
{
  g_autoptr(BgChild) child = mem_child_new(0);
  cr_assert_eq(bg_child_pwrite(child, "abcdef", 6, 0), 0);
  cr_assert_eq(child->ops->resize(child, 2), 0);
  cr_assert_eq(child->ops->resize(child, 6), 0);
  assert_bytes(child, 0, "ab\0\0\0\0", 6);
}

Test(mem_child, large_zero_keeps_its_neighbours)
{
  g_autoptr(BgChild) child = mem_child_new((uint64_t)4 << 20);
  memset(mem_child_data(child), 'a', (size_t)4 << 20);
  cr_assert_eq(child->ops->zero(child, 1000, 3000000, BG_ZERO_NONE), 0);
  assert_bytes(child, 998, "aa\0\0", 4);
  assert_bytes(child, 1000 + 3000000 - 2, "\0\0aa", 4);
  for (size_t i = 1000; i < 1000 + 3000000; i++)
    cr_assert_eq(mem_child_data(child)[i], 0);
}

Test(mem_child, permissions_and_capacity)
{
  g_autoptr(BgChild) child = mem_child_new(4);
  mem_child_set_perm(child, BG_PERM_WRITE);
  cr_assert_eq(bg_child_pwrite(child, "abc", 3, 3), -ENOSPC);
  cr_assert_eq(child->ops->resize(child, 8), -EPERM);
  mem_child_set_perm(child, BG_PERM_ALL);
  mem_child_set_capacity(child, 5);
  cr_assert_eq(bg_child_pwrite(child, "abc", 3, 3), -ENOSPC);
  cr_assert_eq(bg_child_pwrite(child, "ab", 2, 3), 0);
  mem_child_set_perm(child, BG_PERM_CONSISTENT_READ);
  cr_assert_eq(bg_child_pwrite(child, "a", 1, 0), -EPERM);
  cr_assert_eq(child->ops->zero(child, 0, 1, BG_ZERO_NONE), -EPERM);
  cr_assert_eq(child->ops->discard(child, 0, 1), -EPERM);
}

Test(mem_child, counts_and_fails)
{
  g_autoptr(BgChild) child = mem_child_new(4);
  mem_child_fail(child, MEM_PWRITEV | MEM_FLUSH, 2, EDQUOT, false);
  cr_assert_eq(child->ops->flush(child), 0);
  assert_bytes(child, 0, "\0", 1);
  cr_assert_not(mem_child_has_failed(child));
  cr_assert_eq(bg_child_pwrite(child, "a", 1, 0), -EDQUOT);
  cr_assert(mem_child_has_failed(child));
  assert_bytes(child, 0, "\0", 1);
  cr_assert_eq(bg_child_pwrite(child, "a", 1, 0), 0);
  cr_assert_eq(mem_child_count(child, MEM_PWRITEV), 2);
  cr_assert_eq(mem_child_count(child, MEM_FLUSH | MEM_PREADV), 3);
  mem_child_reset_counts(child);
  cr_assert_eq(mem_child_count(child, MEM_ALL), 0);

  mem_child_fail(child, MEM_ALL, 1, EIO, true);
  cr_assert_eq(child->ops->flush(child), -EIO);
  cr_assert_eq(child->ops->flush(child), -EIO);
  mem_child_fail(child, 0, 0, 0, false);
  cr_assert_eq(child->ops->flush(child), 0);
}

static bool keep_all_but(size_t index, void *data)
{
  return index != *(size_t *)data;
}

Test(mem_child, replay)
{
  g_autoptr(BgChild) child = mem_child_new(4);
  cr_assert_eq(bg_child_pwrite(child, "0123", 4, 0), 0);
  mem_child_record(child);
  cr_assert_eq(bg_child_pwrite(child, "ab", 2, 0), 0);
  cr_assert_eq(child->ops->flush(child), 0);
  cr_assert_eq(child->ops->zero(child, 1, 1, BG_ZERO_NONE), 0);
  cr_assert_eq(child->ops->resize(child, 5), 0);
  cr_assert_eq(mem_child_record_length(child), 4);
  cr_assert(mem_child_record_is_flush(child, 1));

  g_autoptr(BgChild) start = mem_child_replay(child, 0, NULL, NULL);
  assert_bytes(start, 0, "0123", 4);
  g_autoptr(BgChild) second = mem_child_replay(child, 2, NULL, NULL);
  assert_bytes(second, 0, "ab23", 4);
  size_t lost = 2;
  g_autoptr(BgChild) torn = mem_child_replay(child, 4, keep_all_but, &lost);
  assert_bytes(torn, 0, "ab23\0", 5);
  cr_assert_eq(torn->ops->size(torn), 5);
}
