#include "drivers/registry.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static Shim *open_compress(BgChild *file, GError **error)
{
  ShimSetup setup = {.driver = bg_driver_find("compress"), .file = file};
  return shim_open(&setup, error);
}

Test(compress, refuses_what_cannot_compress)
{
  g_autoptr(BgChild) file = mem_child_new(4096);
  g_autoptr(GError) error = NULL;
  cr_assert_null(open_compress(file, &error));
  cr_assert_eq(error->code, ENOTSUP);
  cr_assert_str_eq(error->message, "The driver of the node below does not support compressed writes");
}

/* A child that tells special writes apart. */
typedef struct Below {
  BgChild child;
  BgChildOps ops;
  BgChild *memory;
  unsigned special;
} Below;

static int below_preadv(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgChild *memory = ((Below *)child)->memory;
  return memory->ops->preadv(memory, iov, iovcnt, offset);
}

static int below_pwritev(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgChild *memory = ((Below *)child)->memory;
  return memory->ops->pwritev(memory, iov, iovcnt, offset);
}

static int below_pwritev_special(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  ((Below *)child)->special++;
  return below_pwritev(child, iov, iovcnt, offset);
}

static int below_zero(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  BgChild *memory = ((Below *)child)->memory;
  return memory->ops->zero(memory, offset, length, flags);
}

static int below_discard(BgChild *child, uint64_t offset, uint64_t length)
{
  BgChild *memory = ((Below *)child)->memory;
  return memory->ops->discard(memory, offset, length);
}

static int64_t below_size(BgChild *child)
{
  BgChild *memory = ((Below *)child)->memory;
  return memory->ops->size(memory);
}

static int below_resize(BgChild *child, uint64_t size)
{
  BgChild *memory = ((Below *)child)->memory;
  return memory->ops->resize(memory, size);
}

static void below_limits(BgChild *child, BgLimits *limits)
{
  (void)child;
  *limits = (BgLimits){.request_alignment = 1, .granularity = 512, .special_granularity = 4096};
}

static void below_init(Below *below, BgChild *memory)
{
  *below = (Below){.memory = memory,
                   .ops = {.preadv = below_preadv,
                           .pwritev = below_pwritev,
                           .pwritev_special = below_pwritev_special,
                           .zero = below_zero,
                           .discard = below_discard,
                           .size = below_size,
                           .resize = below_resize,
                           .limits = below_limits}};
  below->child = (BgChild){&below->ops, "file", BG_ROLE_FILTERED | BG_ROLE_PRIMARY};
}

/* Writes are special ones, all else goes through. */
Test(compress, passes_on)
{
  g_autoptr(BgChild) memory = mem_child_new(10000);
  Below below;
  below_init(&below, memory);
  g_autoptr(Shim) compress = open_compress(&below.child, NULL);
  BgLimits limits;
  shim_limits(compress, &limits);
  cr_assert_eq(limits.request_alignment, 1);
  cr_assert_eq(limits.granularity, 4096);
  cr_assert_eq(shim_size(compress), 10000);
  BgExtent extent;
  cr_assert_eq(shim_map(compress, 10, 20, &extent), 0);
  cr_assert_eq(extent.child->role, BG_ROLE_FILTERED | BG_ROLE_PRIMARY);
  cr_assert_eq(extent.offset, 10);

  cr_assert_eq(shim_write(compress, "abc", 3, 5000), -EPERM);
  cr_assert(shim_set_writable(compress, true, NULL));
  cr_assert_eq(shim_write(compress, "abc", 3, 5000), 0);
  cr_assert_eq(below.special, 1);
  char got[3];
  cr_assert_eq(shim_read(compress, got, 3, 5000), 0);
  cr_assert_eq(memcmp(got, "abc", 3), 0);
  cr_assert_eq(shim_write(compress, "abc", 3, 9999), -ENOSPC);
  cr_assert_eq(shim_zero(compress, 0, 8192, BG_ZERO_NONE), 0);
  cr_assert_eq(mem_child_count(memory, MEM_ZERO), 1);
  cr_assert_eq(shim_discard(compress, 0, 8192), 0);
  cr_assert_eq(mem_child_count(memory, MEM_DISCARD), 1);
  cr_assert_eq(shim_resize(compress, 20000), 0);
  cr_assert_eq(shim_size(compress), 20000);
  cr_assert_eq(below.special, 1);
}
