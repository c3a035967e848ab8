#include "graph/run.h"

#include <errno.h>

void bg_runs_init(BgRuns *runs, BgNode *node, uint64_t offset, uint64_t length)
{
  *runs = (BgRuns){.node = node, .position = offset, .end = offset + length};
}

static int map_pass_through(BgNode *node, uint64_t offset, uint64_t length, BgExtent *extent)
{
  BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_FILTERED);
  if (!edge)
    return -EIO;
  *extent = (BgExtent){BG_EXTENT_DATA, BG_EXTENT_IN_PLACE, length, &edge->child, offset};
  return 0;
}

static int map_at(BgNode *node, uint64_t offset, uint64_t length, BgExtent *extent)
{
  *extent = (BgExtent){.length = 0};
  int result = node->driver->map ? node->driver->map(node->instance, offset, length, extent)
                                 : map_pass_through(node, offset, length, extent);
  if (result == 0 && (extent->length == 0 || extent->length > length))
    return -EIO;
  return result;
}

static bool continues(const BgExtent *run, const BgExtent *next)
{
  if (run->kind != next->kind || run->flags != next->flags || run->kind == BG_EXTENT_SPECIAL)
    return false;
  return run->child == next->child && (!run->child || run->offset + run->length == next->offset);
}

int bg_runs_next(BgRuns *runs, BgExtent *run)
{
  if (runs->ahead.length == 0) {
    int result = map_at(runs->node, runs->position, runs->end - runs->position, &runs->ahead);
    if (result)
      return result;
  }
  *run = runs->ahead;
  runs->position += run->length;
  runs->ahead.length = 0;
  while (runs->position < runs->end && run->kind != BG_EXTENT_SPECIAL) {
    /* an error further on belongs to the next run */
    if (map_at(runs->node, runs->position, runs->end - runs->position, &runs->ahead)) {
      runs->ahead.length = 0;
      break;
    }
    if (!continues(run, &runs->ahead))
      break;
    run->length += runs->ahead.length;
    runs->position += runs->ahead.length;
    runs->ahead.length = 0;
  }
  return 0;
}

BgNode *bg_run_source(BgNode *node, const BgExtent *run)
{
  if (run->kind != BG_EXTENT_BACKING)
    return run->child ? bg_edge_of(run->child)->hold.node : NULL;
  BgEdge *image = bg_node_edge_by_role(node, BG_ROLE_SNAPSHOT);
  if (image)
    return bg_run_source(image->hold.node, run);
  BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_COW);
  return edge ? edge->hold.node : NULL;
}
