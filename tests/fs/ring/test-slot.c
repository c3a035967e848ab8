#include "fs/ring/slot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

enum { SIZE = 256 * 1024 };

static BgfsRingSlot slot;

static void set_up(void)
{
  cr_assert(bgfs_ring_slot_init(&slot, SIZE));
}

static void tear_down(void)
{
  bgfs_ring_slot_clear(&slot);
}

TestSuite(ring_slot, .init = set_up, .fini = tear_down);

/* As the kernel puts a request there. */
static void put(uint32_t opcode, const void *first, size_t first_length, const void *others, size_t length)
{
  struct fuse_in_header in = {.len = sizeof in + first_length + length, .opcode = opcode, .unique = 8};
  memcpy(slot.header->in_out, &in, sizeof in);
  memcpy(slot.header->op_in, first, first_length);
  memcpy(slot.payload, others, length);
  slot.header->payload_size = length;
}

static struct fuse_out_header answer(void)
{
  struct fuse_out_header out;
  memcpy(&out, slot.header->in_out, sizeof out);
  return out;
}

Test(ring_slot, a_write_is_one_piece_and_its_data_stay_where_they_are)
{
  struct fuse_write_in write = {.offset = 4096, .size = 5};
  size_t length;
  put(FUSE_WRITE, &write, sizeof write, "bytes", 5);
  const char *request = bgfs_ring_slot_request(&slot, &length);
  cr_assert(request);
  cr_assert_eq(length, sizeof(struct fuse_in_header) + sizeof write + 5);
  cr_assert_eq(((const struct fuse_in_header *)request)->opcode, FUSE_WRITE);
  cr_assert_arr_eq(request + sizeof(struct fuse_in_header), &write, sizeof write);
  cr_assert_eq(request + length - 5, slot.payload);
  cr_assert_arr_eq(slot.payload, "bytes", 5);
  cr_assert_eq(slot.unique, 8);
}

Test(ring_slot, a_request_without_a_first_argument)
{
  size_t length;
  put(FUSE_LOOKUP, "", 0, "disk", 5);
  const char *request = bgfs_ring_slot_request(&slot, &length);
  cr_assert(request);
  cr_assert_str_eq(request + sizeof(struct fuse_in_header), "disk");
}

Test(ring_slot, lengths_that_cannot_be)
{
  static const char bytes[512];
  size_t length;
  const struct {
    uint32_t all, payload;
  } cases[] = {
      {sizeof(struct fuse_in_header) - 1, 0},        /* shorter than the header */
      {sizeof(struct fuse_in_header) + 4, 8},        /* the payload is longer than all */
      {sizeof(struct fuse_in_header) + 136, 0},      /* the first argument has no room */
      {sizeof(struct fuse_in_header) + 12, 0},       /* and is no struct of the protocol */
      {UINT32_MAX, SIZE + 1},
      {0, 0},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    put(FUSE_WRITE, bytes, 0, bytes, 0);
    memcpy(slot.header->in_out, &cases[i].all, sizeof cases[i].all);
    slot.header->payload_size = cases[i].payload;
    cr_expect_null(bgfs_ring_slot_request(&slot, &length), "case %zu", i);
    bgfs_ring_slot_refuse(&slot);
    cr_expect(answer().error == -EIO && answer().unique == 8 && slot.header->payload_size == 0, "case %zu", i);
  }
}

Test(ring_slot, an_answer_lies_in_the_payload_in_one_piece)
{
  struct fuse_out_header out = {.len = sizeof out + 8, .unique = 8};
  struct iovec iov[] = {{&out, sizeof out}, {(char[]){"abc"}, 3}, {(char[]){"defgh"}, 5}};
  bgfs_ring_slot_answer(&slot, iov, 3);
  cr_assert_eq(answer().unique, 8);
  cr_assert_eq(answer().error, 0);
  cr_assert_eq(slot.header->payload_size, 8);
  cr_assert_arr_eq(slot.payload, "abcdefgh", 8);
}

Test(ring_slot, what_is_there_already_is_its_answer)
{
  struct fuse_out_header out = {.unique = 8};
  memset(slot.payload, 'x', SIZE);
  struct iovec iov[] = {{&out, sizeof out}, {slot.payload, SIZE}};
  bgfs_ring_slot_answer(&slot, iov, 2);
  cr_assert_eq(slot.header->payload_size, SIZE);
  cr_assert_eq(slot.payload[SIZE - 1], 'x');
}

Test(ring_slot, an_answer_that_is_too_long_is_an_error)
{
  static char long_one[SIZE];
  struct fuse_out_header out = {.unique = 8};
  struct iovec iov[] = {{&out, sizeof out}, {long_one, 1}, {long_one, SIZE}};
  bgfs_ring_slot_answer(&slot, iov, 3);
  cr_assert(answer().error == -EIO && answer().unique == 8 && slot.header->payload_size == 0);
}

Test(ring_slot, trimmed_it_keeps_a_short_answer_and_a_long_one_whole)
{
  struct fuse_out_header out = {.unique = 8};
  memset(slot.payload, 'x', SIZE);
  struct iovec iov[] = {{&out, sizeof out}, {slot.payload, SIZE}};
  bgfs_ring_slot_answer(&slot, iov, 2);
  bgfs_ring_slot_trim(&slot);
  cr_assert_eq(slot.payload[SIZE - 1], 'x');
  iov[1].iov_len = 8;
  bgfs_ring_slot_answer(&slot, iov, 2);
  bgfs_ring_slot_trim(&slot);
  cr_assert_eq(slot.payload[7], 'x');
  cr_assert_eq(slot.payload[SIZE - 1], 0);
}
