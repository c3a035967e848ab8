#include "graph/user-child.h"

#include "drivers/iov.h"

#include <errno.h>

static BgUser *user_of(BgChild *child)
{
  return ((BgUserChild *)((char *)child - offsetof(BgUserChild, child)))->user;
}

static BgNode *node_of(BgChild *child)
{
  return bg_user_node(user_of(child));
}

static int user_child_preadv(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  ssize_t done = bg_user_preadv(user_of(child), iov, iovcnt, offset);
  if (done < 0)
    return (int)done;
  bg_iov_zero(iov, iovcnt, (uint64_t)done, bg_iov_length(iov, iovcnt) - (uint64_t)done);
  return 0;
}

/* A user writes up to the end of a node that does not grow by itself; a child writes all or fails. */
static int make_room(BgChild *child, uint64_t end)
{
  BgNode *node = node_of(child);
  BgLimits limits;
  bg_node_limits(node, &limits);
  int64_t size = bg_node_size(node);
  if (size < 0)
    return (int)size;
  if (limits.grows || end <= (uint64_t)size)
    return 0;
  return bg_user_perm(user_of(child)) & BG_PERM_RESIZE ? bg_user_resize(user_of(child), end, NULL) : -ENOSPC;
}

static int user_child_pwritev(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  uint64_t length = bg_iov_length(iov, iovcnt);
  int result = make_room(child, offset + length);
  if (result)
    return result == -EBADF ? -EPERM : result;
  ssize_t done = bg_user_pwritev(user_of(child), iov, iovcnt, offset);
  if (done < 0)
    return done == -EBADF ? -EPERM : (int)done;
  return (uint64_t)done == length ? 0 : -EIO;
}

static int user_child_zero(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  int result = make_room(child, offset + length);
  if (result == 0)
    result = bg_user_zero(user_of(child), offset, length,
                          flags & BG_ZERO_MAY_UNMAP ? BG_USER_ZERO_MAY_UNMAP : BG_USER_ZERO_NONE);
  return result == -EBADF ? -EPERM : result;
}

static int user_child_discard(BgChild *child, uint64_t offset, uint64_t length)
{
  int result = bg_user_discard(user_of(child), offset, length);
  return result == -EBADF ? -EPERM : result;
}

static int user_child_flush(BgChild *child)
{
  return bg_user_flush(user_of(child));
}

static int64_t user_child_size(BgChild *child)
{
  return bg_node_size(node_of(child));
}

static int user_child_resize(BgChild *child, uint64_t size)
{
  int result = bg_user_resize(user_of(child), size, NULL);
  return result == -EBADF ? -EPERM : result;
}

static void user_child_limits(BgChild *child, BgLimits *limits)
{
  bg_node_limits(node_of(child), limits);
}

void bg_user_child_init(BgUserChild *child, const char *name, BgRole role, BgUser *user)
{
  static const BgChildOps ops = {
      .preadv = user_child_preadv,
      .pwritev = user_child_pwritev,
      .zero = user_child_zero,
      .discard = user_child_discard,
      .flush = user_child_flush,
      .size = user_child_size,
      .resize = user_child_resize,
      .limits = user_child_limits,
  };
  *child = (BgUserChild){{&ops, name, role}, user};
}
