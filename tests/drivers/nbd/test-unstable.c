#include "drivers/nbd/unstable.h"

#include <criterion/criterion.h>
#include <string.h>

static BgNbdKept *add(BgNbdUnstable *unstable, const char *text, uint64_t offset, bool acknowledged)
{
  struct iovec iov[] = {{(char *)text, 1}, {(char *)text + 1, strlen(text) - 1}};
  BgNbdKept *kept = bg_nbd_kept_new(iov, 2, offset, strlen(text), 0);
  bg_nbd_unstable_add(unstable, kept);
  kept->acknowledged = acknowledged;
  return kept;
}

Test(unstable, keeps_copies_in_order)
{
  BgNbdUnstable unstable = {0};
  char text[] = "first";
  BgNbdKept *first = add(&unstable, text, 10, true);
  memset(text, 'x', 5);
  BgNbdKept *under_way = add(&unstable, "second", 20, false);
  BgNbdKept *third = add(&unstable, "third", 10, true);
  cr_assert_eq(bg_nbd_unstable_next(&unstable, NULL), first);
  cr_assert_eq(memcmp(first->data, "first", 5), 0);
  cr_assert_eq(bg_nbd_unstable_next(&unstable, first), third, "what was not acknowledged is its caller's");
  cr_assert_null(bg_nbd_unstable_next(&unstable, third));
  uint64_t before = unstable.bytes;
  bg_nbd_unstable_remove(&unstable, under_way);
  cr_assert_lt(unstable.bytes, before - 5);
  bg_nbd_unstable_clear(&unstable);
  cr_assert_eq(unstable.bytes, 0);
}

Test(unstable, a_flush_covers_what_was_acknowledged_before_it)
{
  BgNbdUnstable unstable = {0};
  add(&unstable, "one", 0, true);
  BgNbdKept *under_way = add(&unstable, "two", 8, false);
  uint64_t flush = bg_nbd_unstable_flush_begin(&unstable);
  under_way->acknowledged = true;
  BgNbdKept *later = add(&unstable, "three", 16, true);
  bg_nbd_unstable_flush_end(&unstable, flush, true);
  cr_assert_eq(bg_nbd_unstable_next(&unstable, NULL), under_way);
  cr_assert_eq(bg_nbd_unstable_next(&unstable, under_way), later);
  bg_nbd_unstable_clear(&unstable);
}

Test(unstable, a_flush_that_fails_frees_nothing)
{
  BgNbdUnstable unstable = {0};
  BgNbdKept *kept = add(&unstable, "one", 0, true);
  uint64_t first = bg_nbd_unstable_flush_begin(&unstable), second = bg_nbd_unstable_flush_begin(&unstable);
  bg_nbd_unstable_flush_end(&unstable, first, false);
  bg_nbd_unstable_flush_end(&unstable, second, true);
  cr_assert_eq(bg_nbd_unstable_next(&unstable, NULL), kept);
  uint64_t third = bg_nbd_unstable_flush_begin(&unstable);
  bg_nbd_unstable_flush_end(&unstable, third, true);
  cr_assert_eq(unstable.bytes, 0);
}

Test(unstable, zeros_hold_no_data)
{
  BgNbdUnstable unstable = {0};
  BgNbdKept *kept = bg_nbd_kept_new(NULL, 0, 0, (uint64_t)1 << 40, 2);
  bg_nbd_unstable_add(&unstable, kept);
  cr_assert(kept->zero);
  cr_assert_eq(kept->flags, 2);
  cr_assert_lt(unstable.bytes, 4096);
  bg_nbd_unstable_clear(&unstable);
}
