#include "fs/opened.h"

#include <criterion/criterion.h>

static void count(gpointer object)
{
  ++*(int *)object;
}

Test(opened, each_object_is_freed_once)
{
  int first = 0, second = 0;
  BgfsOpened *opened = bgfs_opened_new();
  bgfs_opened_add(opened, &first, count);
  bgfs_opened_add(opened, &second, count);
  bgfs_opened_remove(opened, &first);
  cr_assert_eq(first, 1);
  cr_assert_eq(second, 0);
  bgfs_opened_remove(opened, &first);
  bgfs_opened_free(opened);
  cr_assert_eq(first, 1);
  cr_assert_eq(second, 1, "what is left goes at the end");
}
