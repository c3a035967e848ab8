#include "fs/init-reply.h"

#include <criterion/criterion.h>
#include <linux/fuse.h>
#include <string.h>

#define ALLOW_MMAP  (UINT64_C(1) << 36)
#define PASSTHROUGH (UINT64_C(1) << 37)
#define IO_URING    (UINT64_C(1) << 41)

typedef struct Request {
  struct fuse_in_header header;
  struct fuse_init_in in;
} Request;

static Request init_request(uint64_t flags)
{
  return (Request){.header = {.len = sizeof(Request), .opcode = FUSE_INIT, .unique = 2},
                   .in = {.major = 7, .minor = 45, .flags = (uint32_t)flags, .flags2 = flags >> 32}};
}

static struct fuse_init_out patched(BgfsInitReply *init, uint64_t unique, uint32_t flags)
{
  struct fuse_out_header header = {.unique = unique};
  struct fuse_init_out out = {.flags = flags};
  struct iovec iov[] = {{&header, sizeof(header)}, {&out, sizeof(out)}};
  bgfs_init_reply_patch(init, iov, 2);
  return out;
}

Test(init_reply, what_the_kernel_offers_is_taken)
{
  BgfsInitReply init = {0};
  Request request = init_request(FUSE_INIT_EXT | FUSE_HANDLE_KILLPRIV_V2 | ALLOW_MMAP | FUSE_POSIX_ACL);
  bgfs_init_reply_request(&init, &request, sizeof(request));
  struct fuse_init_out out = patched(&init, 2, FUSE_INIT_EXT | FUSE_BIG_WRITES);
  cr_assert_eq(out.flags, FUSE_INIT_EXT | FUSE_BIG_WRITES | FUSE_HANDLE_KILLPRIV_V2);
  cr_assert_eq(out.flags2, ALLOW_MMAP >> 32);
  cr_assert(init.maps_uncached);
}

Test(init_reply, what_it_does_not_offer_is_not)
{
  BgfsInitReply init = {0};
  Request request = init_request(FUSE_HANDLE_KILLPRIV_V2);
  bgfs_init_reply_request(&init, &request, sizeof(request));
  struct fuse_init_out out = patched(&init, 2, FUSE_BIG_WRITES);
  cr_assert_eq(out.flags, FUSE_BIG_WRITES | FUSE_HANDLE_KILLPRIV_V2);
  cr_assert_eq(out.flags2, 0);
  cr_assert_not(init.maps_uncached);
}

Test(init_reply, other_replies_stay_as_they_are)
{
  BgfsInitReply init = {0};
  cr_assert_eq(patched(&init, 2, 0).flags, 0, "no request yet");
  Request request = init_request(FUSE_HANDLE_KILLPRIV_V2);
  bgfs_init_reply_request(&init, &request, sizeof(request));
  cr_assert_eq(patched(&init, 4, 0).flags, 0, "another request's");
  cr_assert_neq(patched(&init, 2, 0).flags, 0);
  cr_assert_eq(patched(&init, 2, 0).flags, 0, "only once");
}

Test(init_reply, other_requests_are_no_init)
{
  BgfsInitReply init = {0};
  Request request = init_request(FUSE_HANDLE_KILLPRIV_V2);
  request.header.opcode = FUSE_WRITE;
  cr_assert_not(bgfs_init_reply_request(&init, &request, sizeof(request)));
  cr_assert_eq(init.unique, 0);
  request.header.opcode = FUSE_INIT;
  bgfs_init_reply_request(&init, &request, sizeof(request.header) + 4);
  cr_assert_eq(init.unique, 0, "too short");
}

static uint32_t stack_depth(const struct fuse_init_out *out)
{
  uint32_t depth;
  memcpy(&depth, (const char *)&out->flags2 + sizeof(out->flags2), sizeof(depth));
  return depth;
}

Test(init_reply, passthrough_is_taken_where_wanted_and_offered_and_writes_are_not_cached)
{
  const struct {
    bool wanted;
    uint64_t offered;
    uint32_t flags;
    bool agreed;
  } cases[] = {
      {true, PASSTHROUGH, 0, true},
      {false, PASSTHROUGH, 0, false},
      {true, 0, 0, false},
      {true, PASSTHROUGH, FUSE_WRITEBACK_CACHE, false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    BgfsInitReply init = {.wants_passthrough = cases[i].wanted};
    Request request = init_request(FUSE_INIT_EXT | cases[i].offered);
    bgfs_init_reply_request(&init, &request, sizeof(request));
    struct fuse_init_out out = patched(&init, 2, FUSE_INIT_EXT | cases[i].flags);
    cr_expect_eq(init.passthrough, cases[i].agreed, "case %zu", i);
    cr_expect_eq(out.flags2, cases[i].agreed ? PASSTHROUGH >> 32 : 0, "case %zu", i);
    cr_expect_eq(stack_depth(&out), cases[i].agreed ? BGFS_STACK_DEPTH : 0, "case %zu", i);
  }
}

Test(init_reply, a_ring_is_asked_for_where_there_is_one_and_the_kernel_offers_it)
{
  const struct {
    bool wanted;
    uint64_t offered;
    bool agreed;
  } cases[] = {{true, IO_URING, true}, {false, IO_URING, false}, {true, 0, false}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    BgfsInitReply init = {0};
    Request request = init_request(FUSE_INIT_EXT | cases[i].offered);
    cr_assert(bgfs_init_reply_request(&init, &request, sizeof(request)));
    cr_expect_eq(bgfs_init_reply_offers_ring(&init), cases[i].offered != 0, "case %zu", i);
    init.wants_ring = cases[i].wanted;
    struct fuse_init_out out = patched(&init, 2, FUSE_INIT_EXT);
    cr_expect_eq(init.ring, cases[i].agreed, "case %zu", i);
    cr_expect_eq(out.flags2, cases[i].agreed ? IO_URING >> 32 : 0, "case %zu", i);
  }
}
