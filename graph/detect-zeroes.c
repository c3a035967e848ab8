#include "drivers/iov.h"
#include "graph/io.h"

static bool is_zeros(const BgNode *node, const struct iovec *iov, int iovcnt)
{
  return node->common.detect_zeroes && bg_iov_is_zero(iov, iovcnt);
}

static int zero_instead(BgNode *node, uint64_t offset, uint64_t length)
{
  bool unmap = node->common.detect_zeroes == BG_DETECT_ZEROES_UNMAP;
  return bg_io_zero(node, offset, length, unmap ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE, true);
}

int bg_io_pwritev(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  return is_zeros(node, iov, iovcnt) ? zero_instead(node, offset, bg_iov_length(iov, iovcnt))
                                     : bg_io_pwritev_as_is(node, iov, iovcnt, offset);
}

int bg_io_pwritev_special(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  return is_zeros(node, iov, iovcnt) ? zero_instead(node, offset, bg_iov_length(iov, iovcnt))
                                     : bg_io_pwritev_special_as_is(node, iov, iovcnt, offset);
}
