#include "graph/io.h"
#include "graph/run.h"

#include <errno.h>

/* So many extents one question may look at, chain and all. */
#define EXTENTS_MAX 8192

typedef struct Probe {
  unsigned left; /* extents that may still be looked at */
} Probe;

static int status_at(Probe *probe, BgNode *node, uint64_t offset, uint64_t length, BgStatus *status);

static int status_below(Probe *probe, BgNode *source, uint64_t offset, uint64_t length, BgStatus *status)
{
  int64_t size = source ? bg_node_size_inside(source) : 0;
  if (size < 0)
    return (int)size;
  if (offset >= (uint64_t)size) {
    *status = (BgStatus){true, length};
    return 0;
  }
  return status_at(probe, source, offset, MIN(length, (uint64_t)size - offset), status);
}

static int status_opaque(BgNode *node, uint64_t offset, uint64_t length, BgStatus *status)
{
  *status = (BgStatus){false, length};
  if (!node->driver->map)
    return 0;
  BgExtent extent = {.length = 0};
  int result = node->driver->map(node->instance, offset, length, &extent);
  if (result == 0 && extent.length)
    *status = (BgStatus){extent.kind == BG_EXTENT_ZERO, MIN(extent.length, length)};
  return result;
}

/* A driver that allocates knows what it has; one that does not (raw, filters) has to look below, where that is of use. */
static int status_run(Probe *probe, BgNode *node, const BgExtent *run, uint64_t offset, BgStatus *status)
{
  if (run->kind == BG_EXTENT_BACKING)
    return status_below(probe, bg_run_source(node, run), offset, run->length, status);
  if (run->kind == BG_EXTENT_DATA && !node->driver->reserve && !(run->flags & BG_EXTENT_ENCODED))
    return status_below(probe, bg_run_source(node, run), run->offset, run->length, status);
  *status = (BgStatus){run->kind == BG_EXTENT_ZERO, run->length};
  return 0;
}

/* One piece from `offset`: all the same, but what follows may be the same too. */
static int status_at(Probe *probe, BgNode *node, uint64_t offset, uint64_t length, BgStatus *status)
{
  if (probe->left)
    probe->left--;
  if (node->driver->preadv)
    return status_opaque(node, offset, length, status);
  BgRuns runs;
  BgExtent run;
  bg_runs_init(&runs, node, offset, length);
  int result = bg_runs_next(&runs, &run);
  return result ? result : status_run(probe, node, &run, offset, status);
}

int bg_io_status(BgNode *node, uint64_t offset, uint64_t length, BgStatus *status)
{
  Probe probe = {EXTENTS_MAX};
  BgStatus whole;
  int result = status_at(&probe, node, offset, length, &whole);
  while (result == 0 && whole.length < length && probe.left) {
    BgStatus next;
    /* an error further on belongs to the next question */
    if (status_at(&probe, node, offset + whole.length, length - whole.length, &next) || next.zero != whole.zero)
      break;
    whole.length += next.length;
  }
  if (result == 0)
    *status = whole;
  return result;
}

static bool run_reads_zero(BgNode *node, const BgExtent *run, uint64_t offset)
{
  BgNode *below = bg_run_source(node, run);
  if (run->kind != BG_EXTENT_BACKING || !below)
    return run->kind == BG_EXTENT_ZERO || run->kind == BG_EXTENT_BACKING;
  if (below->limits.grows) /* its size is the storage's */
    return false;
  int64_t size = bg_node_size_inside(below);
  if (size < 0)
    return false;
  return offset >= (uint64_t)size || bg_io_reads_zero(below, offset, MIN(run->length, (uint64_t)size - offset));
}

bool bg_io_reads_zero(BgNode *node, uint64_t offset, uint64_t length)
{
  if (node->driver->preadv)
    return false;
  BgRuns runs;
  bg_runs_init(&runs, node, offset, length);
  while (runs.position < runs.end) {
    uint64_t start = runs.position;
    BgExtent run;
    if (bg_runs_next(&runs, &run) || !run_reads_zero(node, &run, start))
      return false;
  }
  return true;
}
