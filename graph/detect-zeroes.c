#include "drivers/iov.h"
#include "graph/io.h"

int bg_io_pwritev(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (!node->common.detect_zeroes || !bg_iov_is_zero(iov, iovcnt))
    return bg_io_pwritev_as_is(node, iov, iovcnt, offset);
  bool unmap = node->common.detect_zeroes == BG_DETECT_ZEROES_UNMAP;
  return bg_io_zero(node, offset, bg_iov_length(iov, iovcnt), unmap ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE, true);
}
