#include "drivers/iov.h"
#include "graph/align.h"
#include "graph/encoded.h"
#include "graph/io.h"
#include "graph/run.h"

#include <errno.h>

/* From a node below; past its end there are zeros. */
static int read_below(BgNode *source, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (!source) {
    bg_iov_zero(iov, iovcnt, 0, bg_iov_length(iov, iovcnt));
    return 0;
  }
  return bg_io_preadv(source, iov, iovcnt, offset);
}

static int read_run(BgNode *node, const BgExtent *run, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  switch (run->kind) {
  case BG_EXTENT_DATA:
    if (run->flags & BG_EXTENT_ENCODED)
      return bg_encoded_read(node, run, iov, iovcnt, offset);
    return read_below(bg_run_source(node, run), iov, iovcnt, run->offset);
  case BG_EXTENT_BACKING:
    return read_below(bg_run_source(node, run), iov, iovcnt, offset);
  case BG_EXTENT_SPECIAL:
    return node->driver->preadv_special(node->instance, iov, iovcnt, offset);
  case BG_EXTENT_ZERO:
    bg_iov_zero(iov, iovcnt, 0, bg_iov_length(iov, iovcnt));
    return 0;
  }
  return -EIO;
}

static int read_mapped(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length)
{
  BgRuns runs;
  bg_runs_init(&runs, node, offset, length);
  while (runs.position < runs.end) {
    uint64_t start = runs.position;
    BgExtent run;
    int result = bg_runs_next(&runs, &run);
    if (result)
      return result;
    struct iovec part[BG_IOV_MAX];
    int count = bg_iov_slice(iov, iovcnt, start - offset, run.length, part);
    result = read_run(node, &run, part, count, start);
    if (result)
      return result;
  }
  return 0;
}

int bg_io_preadv(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (iovcnt > BG_IOV_MAX)
    return -EINVAL;
  if (node->driver->preadv)
    return bg_align_preadv(node, iov, iovcnt, offset);
  uint64_t length = bg_iov_length(iov, iovcnt);
  if (node->limits.grows) /* what it shows ends as its storage does, which knows better and without being asked first */
    return length ? read_mapped(node, iov, iovcnt, offset, length) : 0;
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return (int)size;
  uint64_t inside = offset >= (uint64_t)size ? 0 : MIN(length, (uint64_t)size - offset);
  bg_iov_zero(iov, iovcnt, inside, length - inside);
  return inside ? read_mapped(node, iov, iovcnt, offset, inside) : 0;
}
