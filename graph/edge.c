#include "graph/edge.h"

#include "drivers/iov.h"
#include "graph/io.h"

#include <errno.h>

BgEdge *bg_edge_new(BgNode *parent, const char *name, BgRole role)
{
  BgEdge *edge = g_new0(BgEdge, 1);
  edge->child = (BgChild){&bg_edge_ops, g_strdup(name), role};
  edge->parent = parent;
  edge->hold.shared = BG_PERM_ALL;
  edge->hold.what = g_strdup_printf("%s '%s'", role & BG_ROLE_COW ? "overlay" : "node", parent->name);
  return edge;
}

static BgNode *target(BgChild *child)
{
  return bg_edge_of(child)->hold.node;
}

static bool granted(BgChild *child, BgPerm perm)
{
  return atomic_load(&bg_edge_of(child)->hold.granted) & perm;
}

static int edge_preadv(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  return bg_io_preadv(target(child), iov, iovcnt, offset);
}

/* Lets the child hold the range, by the edge's right to. */
static int make_room(BgChild *child, uint64_t offset, uint64_t length)
{
  BgNode *node = target(child);
  uint64_t end = offset + length;
  if (offset > INT64_MAX || length > INT64_MAX - offset)
    return -EFBIG;
  if (node->limits.grows && granted(child, BG_PERM_RESIZE)) /* asking for the size would cost a system call */
    return 0;
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return (int)size;
  if (end <= (uint64_t)size)
    return 0;
  if (!granted(child, BG_PERM_RESIZE))
    return -ENOSPC;
  return bg_io_grow(node, end);
}

static int edge_pwritev(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (!granted(child, BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED))
    return -EPERM;
  int result = make_room(child, offset, bg_iov_length(iov, iovcnt));
  return result ? result : bg_io_pwritev(target(child), iov, iovcnt, offset);
}

static int edge_pwritev_special(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (!granted(child, BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED))
    return -EPERM;
  int result = make_room(child, offset, bg_iov_length(iov, iovcnt));
  return result ? result : bg_io_pwritev_special(target(child), iov, iovcnt, offset);
}

static int edge_zero(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  if (!granted(child, BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED))
    return -EPERM;
  int result = make_room(child, offset, length);
  return result ? result : bg_io_zero(target(child), offset, length, flags, true);
}

static int edge_discard(BgChild *child, uint64_t offset, uint64_t length)
{
  if (!granted(child, BG_PERM_WRITE))
    return -EPERM;
  return bg_io_discard(target(child), offset, length);
}

static int edge_flush(BgChild *child)
{
  return bg_edge_of(child)->parent->common.no_flush ? 0 : bg_io_flush(target(child));
}

static int64_t edge_size(BgChild *child)
{
  return bg_node_size_inside(target(child));
}

static int edge_resize(BgChild *child, uint64_t size)
{
  if (!granted(child, BG_PERM_RESIZE))
    return -EPERM;
  return bg_io_resize(target(child), size);
}

static void edge_limits(BgChild *child, BgLimits *limits)
{
  *limits = target(child)->limits;
}

const BgChildOps bg_edge_ops = {
    .preadv = edge_preadv,
    .pwritev = edge_pwritev,
    .pwritev_special = edge_pwritev_special,
    .zero = edge_zero,
    .discard = edge_discard,
    .flush = edge_flush,
    .size = edge_size,
    .resize = edge_resize,
    .limits = edge_limits,
};
