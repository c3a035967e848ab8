#include "drivers/iov.h"

#include <criterion/criterion.h>
#include <string.h>

/* 10 bytes in pieces of 3, 0, 5 and 2. */
typedef struct Fixture {
  char bytes[10];
  struct iovec iov[4];
} Fixture;

static void fixture_init(Fixture *f)
{
  memcpy(f->bytes, "0123456789", 10);
  f->iov[0] = (struct iovec){f->bytes, 3};
  f->iov[1] = (struct iovec){f->bytes, 0};
  f->iov[2] = (struct iovec){f->bytes + 3, 5};
  f->iov[3] = (struct iovec){f->bytes + 8, 2};
}

Test(iov, length)
{
  Fixture f;
  fixture_init(&f);
  cr_assert_eq(bg_iov_length(f.iov, 4), 10);
  cr_assert_eq(bg_iov_length(f.iov, 0), 0);
}

Test(iov, slice_every_range)
{
  Fixture f;
  fixture_init(&f);
  for (size_t offset = 0; offset <= 10; offset++)
    for (size_t length = 0; length <= 12; length++) {
      struct iovec out[4];
      int count = bg_iov_slice(f.iov, 4, offset, length, out);
      size_t expected = length < 10 - offset ? length : 10 - offset;
      cr_assert_eq(bg_iov_length(out, count), expected);
      char got[10];
      cr_assert_eq(bg_iov_to_buffer(out, count, 0, got, sizeof got), expected);
      cr_assert_eq(memcmp(got, f.bytes + offset, expected), 0);
      for (int i = 0; i < count; i++)
        cr_assert_gt(out[i].iov_len, 0);
    }
}

Test(iov, memset_touches_only_the_range)
{
  Fixture f;
  fixture_init(&f);
  bg_iov_memset(f.iov, 4, 2, 'x', 7);
  cr_assert_eq(memcmp(f.bytes, "01xxxxxxx9", 10), 0);
  bg_iov_zero(f.iov, 4, 0, 3);
  cr_assert_eq(memcmp(f.bytes, "\0\0\0xxxxxx9", 10), 0);
}

Test(iov, copies)
{
  Fixture f;
  fixture_init(&f);
  cr_assert_eq(bg_iov_from_buffer(f.iov, 4, 2, "abcd", 4), 4);
  cr_assert_eq(memcmp(f.bytes, "01abcd6789", 10), 0);
  cr_assert_eq(bg_iov_from_buffer(f.iov, 4, 8, "abcd", 4), 2);
  cr_assert_eq(memcmp(f.bytes, "01abcd67ab", 10), 0);
  char got[4] = "";
  cr_assert_eq(bg_iov_to_buffer(f.iov, 4, 7, got, 4), 3);
  cr_assert_str_eq(got, "7ab");
}

Test(iov, is_zero)
{
  char bytes[100] = {0};
  for (size_t length = 0; length <= sizeof bytes; length++) {
    cr_assert(bg_buffer_is_zero(bytes, length));
    for (size_t i = 0; i < sizeof bytes; i++) {
      bytes[i] = 1;
      cr_assert_eq(bg_buffer_is_zero(bytes, length), i >= length);
      bytes[i] = 0;
    }
  }
  struct iovec iov[] = {{bytes, 10}, {bytes + 50, 10}};
  cr_assert(bg_iov_is_zero(iov, 2));
  bytes[59] = 1;
  cr_assert_not(bg_iov_is_zero(iov, 2));
  cr_assert(bg_iov_is_zero(iov, 1));
}

Test(iov, is_aligned)
{
  _Alignas(64) char bytes[128];
  struct iovec iov[] = {{bytes, 64}, {bytes + 64, 32}};
  cr_assert(bg_iov_is_aligned(iov, 2, 32));
  cr_assert_not(bg_iov_is_aligned(iov, 2, 64));
  cr_assert(bg_iov_is_aligned(iov, 1, 64));
  iov[0].iov_base = bytes + 1;
  cr_assert_not(bg_iov_is_aligned(iov, 1, 2));
  cr_assert(bg_iov_is_aligned(iov, 1, 1));
}
