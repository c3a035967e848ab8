#include "graph/map.h"

#include "graph/run.h"

/* So many extents one question looks at. */
#define EXTENTS_MAX 8192

static int map_at(BgNode *node, uint64_t offset, uint64_t length, unsigned depth, BgMapped *mapped);

static int map_opaque(BgNode *node, uint64_t offset, uint64_t length, unsigned depth, BgMapped *mapped)
{
  BgExtent extent = {.kind = BG_EXTENT_DATA, .length = length};
  int result = node->driver->map ? node->driver->map(node->instance, offset, length, &extent) : 0;
  bool zero = extent.kind == BG_EXTENT_ZERO;
  if (result == 0)
    *mapped = (BgMapped){.length = MIN(extent.length, length),
                         .depth = depth,
                         .present = true,
                         .zero = zero,
                         .data = !zero,
                         .storage = node,
                         .offset = offset};
  return result;
}

/* What a format has allocated is data, also where the file below has a hole; a node that allocates nothing shows what is below. */
static int map_data(BgNode *node, const BgExtent *run, unsigned depth, BgMapped *mapped)
{
  if (run->flags & BG_EXTENT_ENCODED) {
    *mapped = (BgMapped){.length = run->length, .depth = depth, .present = true, .data = true};
    return 0;
  }
  int result = map_at(bg_run_source(node, run), run->offset, run->length, depth, mapped);
  if (result == 0 && node->driver->reserve)
    mapped->data = mapped->present = true;
  return result;
}

static int map_backing(BgNode *node, const BgExtent *run, uint64_t offset, unsigned depth, BgMapped *mapped)
{
  BgNode *source = bg_run_source(node, run);
  int64_t size = source ? bg_node_size_inside(source) : 0;
  if (size < 0)
    return (int)size;
  if (offset < (uint64_t)size)
    return map_at(source, offset, MIN(run->length, (uint64_t)size - offset), depth + 1, mapped);
  *mapped = (BgMapped){.length = run->length, .depth = depth, .zero = true};
  return 0;
}

static int map_at(BgNode *node, uint64_t offset, uint64_t length, unsigned depth, BgMapped *mapped)
{
  if (node->driver->preadv)
    return map_opaque(node, offset, length, depth, mapped);
  BgRuns runs;
  BgExtent run;
  bg_runs_init(&runs, node, offset, length);
  int result = bg_runs_next(&runs, &run);
  if (result)
    return result;
  if (run.kind == BG_EXTENT_BACKING)
    return map_backing(node, &run, offset, depth, mapped);
  if (run.kind == BG_EXTENT_DATA)
    return map_data(node, &run, depth, mapped);
  *mapped = (BgMapped){.length = run.length, .depth = depth, .present = true};
  if (!(run.flags & BG_EXTENT_ENCODED))
    mapped->storage = bg_run_source(node, &run);
  mapped->offset = mapped->storage ? run.offset : 0;
  mapped->zero = run.kind == BG_EXTENT_ZERO;
  mapped->data = mapped->compressed = run.kind == BG_EXTENT_SPECIAL;
  return 0;
}

static bool continues(const BgMapped *all, const BgMapped *next)
{
  return all->depth == next->depth && all->present == next->present && all->zero == next->zero &&
         all->data == next->data && all->compressed == next->compressed && all->storage == next->storage &&
         (!all->storage || all->offset + all->length == next->offset);
}

int bg_io_map(BgNode *node, uint64_t offset, uint64_t length, BgMapped *mapped)
{
  BgMapped all, next;
  int result = map_at(node, offset, length, 0, &all);
  for (unsigned i = 1; result == 0 && all.length < length && i < EXTENTS_MAX; i++) {
    /* an error further on belongs to the next question */
    if (map_at(node, offset + all.length, length - all.length, 0, &next) || !continues(&all, &next))
      break;
    all.length += next.length;
  }
  if (result)
    return result;
  all.start = offset;
  *mapped = all;
  return 0;
}
