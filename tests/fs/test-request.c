#include "fs/request.h"

#include <criterion/criterion.h>
#include <linux/fuse.h>

static bool quick_read(uint32_t size, size_t cut)
{
  struct {
    struct fuse_in_header header;
    struct fuse_read_in in;
  } request = {{.opcode = FUSE_READ}, {.size = size}};
  return bgfs_request_is_quick(&request, sizeof request - cut);
}

static bool quick_write(uint32_t size, size_t cut)
{
  struct {
    struct fuse_in_header header;
    struct fuse_write_in in;
  } request = {{.opcode = FUSE_WRITE}, {.size = size}};
  return bgfs_request_is_quick(&request, sizeof request - cut);
}

Test(request, a_little_is_quick)
{
  cr_assert(quick_read(BGFS_QUICK_BYTES, 0));
  cr_assert_not(quick_read(BGFS_QUICK_BYTES + 1, 0));
  cr_assert(quick_write(0, 0));
  cr_assert_not(quick_write(UINT32_MAX, 0));
}

Test(request, anything_else_is_not)
{
  struct fuse_in_header header = {.opcode = FUSE_FSYNC};
  cr_assert_not(bgfs_request_is_quick(&header, sizeof header));
}

Test(request, looks_at_nothing_that_is_not_there)
{
  cr_assert_not(bgfs_request_is_quick(NULL, 0));
  cr_assert_not(quick_read(1, 1));
  cr_assert_not(quick_write(1, 1));
}
