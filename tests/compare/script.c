#include "tests/compare/script.h"

#include "tests/crash/random.h"

#include <inttypes.h>
#include <stdbool.h>

enum { SECTOR = 512 };

/* An operation is about no more, or about two units: with large clusters most of the time went into writing the same bytes. */
#define LONGEST (UINT64_C(1) << 20)

typedef struct Script {
  const Config *config;
  uint64_t random, count;
  Disk disk; /* as the script left it so far */
} Script;

/* ── what becomes of the disk ── */

static int find_snapshot(const Disk *disk, uint64_t number)
{
  for (guint i = 0; i < disk->count; i++)
    if (disk->snapshots[i].number == number)
      return (int)i;
  return -1;
}

gboolean op_is_snapshot(const Op *op)
{
  return op->kind == OP_SNAPSHOT || op->kind == OP_APPLY || op->kind == OP_DELETE;
}

static gboolean step_snapshot(Disk *disk, const Op *op)
{
  int at = find_snapshot(disk, op->offset);
  if (op->kind == OP_SNAPSHOT) {
    if (at >= 0 || disk->count == SNAPSHOTS)
      return FALSE;
    disk->snapshots[disk->count].number = op->offset;
    disk->snapshots[disk->count++].size = disk->size;
  } else if (at >= 0 && op->kind == OP_APPLY) {
    disk->size = disk->snapshots[at].size;
  } else if (at >= 0) {
    disk->count--;
    for (guint i = (guint)at; i < disk->count; i++)
      disk->snapshots[i] = disk->snapshots[i + 1];
  }
  return op->kind == OP_SNAPSHOT || at >= 0;
}

gboolean disk_step(Disk *disk, const Op *op)
{
  if (op_is_snapshot(op))
    return step_snapshot(disk, op);
  if (op->kind != OP_RESIZE)
    return op->offset + op->length <= disk->size;
  disk->size = op->length;
  return TRUE;
}

/* ── making it up ── */

static uint64_t below(Script *s, uint64_t limit)
{
  return random_below(&s->random, MAX(limit, 1));
}

/* A range of whole `unit`s, most of them short, cut at the disk's end. */
static void pick(Script *s, uint64_t unit, Op *op)
{
  uint64_t units = s->disk.size / unit + (s->disk.size % unit != 0);
  uint64_t most = MIN(below(s, 12) ? UINT64_C(4) : UINT64_C(24), MAX(LONGEST / unit, UINT64_C(2)));
  op->offset = below(s, units) * unit;
  uint64_t length = (1 + below(s, most)) * unit;
  op->length = MIN(length, s->disk.size - op->offset);
}

/* What data and zeros may be written to: half of it clusters or subclusters, the rest sectors and a few odd bytes. */
static void pick_any(Script *s, Op *op)
{
  switch (below(s, 8)) {
  case 0:
    pick(s, s->config->cluster, op);
    return;
  case 1:
  case 2:
  case 3:
    pick(s, s->config->granule, op);
    return;
  case 4:
    pick(s, 1 + below(s, 2 * s->config->granule), op);
    return;
  default:
    pick(s, SECTOR, op);
  }
}

/* Both look at whole clusters only, but with subclusters ours looks at those: what is discarded in part of a cluster would differ. */
static void pick_discard(Script *s, Op *op)
{
  if (s->config->extended || below(s, 2))
    pick(s, s->config->cluster, op);
  else
    pick_any(s, op);
  /* the last cluster, cut by the disk's end, is whole to both; one that is cut anywhere else is not */
}

/* With subclusters QEMU 7.2 shows again what was cut off inside a cluster when the disk grows: there only whole clusters. */
static void pick_size(Script *s, Op *op)
{
  uint64_t most = s->config->size + s->config->size / 4, least = s->config->size / 2;
  uint64_t unit = s->config->extended || below(s, 2) ? s->config->cluster : SECTOR;
  op->length = (least + below(s, most - least)) / unit * unit;
}

/* Takes one more, or does something with one of those that there are. */
static void pick_snapshot(Script *s, Op *op)
{
  gboolean more = s->disk.count == 0 || (s->disk.count < SNAPSHOTS && below(s, 2));
  op->kind = more ? OP_SNAPSHOT : below(s, 3) ? OP_DELETE : OP_APPLY;
  op->offset = more ? s->count : s->disk.snapshots[below(s, s->disk.count)].number;
}

/* With subclusters QEMU 7.2 makes an image thereby that its own check calls corrupt. */
static bool can_compress(const Config *config)
{
  return !config->data_file && !config->extended;
}

static Op next(Script *s)
{
  Op op = {.pattern = (uint8_t)(1 + below(s, 255))};
  uint64_t choice = below(s, 1000);
  if (choice < 480) {
    op.kind = OP_WRITE;
    pick_any(s, &op);
  } else if (choice < 570 && can_compress(s->config)) {
    op.kind = OP_COMPRESS;
    op.pattern = below(s, 5) ? op.pattern : 0;
    pick(s, s->config->cluster, &op);
    op.length = MIN(op.length, s->config->cluster);
  } else if (choice < 760) {
    op.kind = choice % 2 ? OP_ZERO : OP_ZERO_UNMAP;
    pick_any(s, &op);
  } else if (choice < 940) {
    op.kind = OP_DISCARD;
    pick_discard(s, &op);
  } else if (choice < 950) {
    op.kind = OP_RESIZE;
    pick_size(s, &op);
  } else if (choice < 965 && !s->config->data_file) {
    pick_snapshot(s, &op);
  } else {
    op.kind = choice < 985 ? OP_FLUSH : OP_REOPEN;
  }
  return op;
}

GArray *script_new(const Config *config, uint64_t seed, size_t count)
{
  Script s = {.config = config, .random = seed, .disk = {.size = config->size}};
  GArray *script = g_array_new(FALSE, FALSE, sizeof(Op));
  while (script->len < count) {
    Op op = next(&s);
    g_assert(disk_step(&s.disk, &op));
    s.count++;
    g_array_append_val(script, op);
  }
  return script;
}

char *op_snapshot_name(const Op *op)
{
  return g_strdup_printf("s%" PRIu64, op->offset);
}

char *op_text(const Op *op)
{
  switch (op->kind) {
  case OP_WRITE:
    return g_strdup_printf("write -q -P %u %" PRIu64 " %" PRIu64, op->pattern, op->offset, op->length);
  case OP_COMPRESS:
    return op->pattern ? g_strdup_printf("write -q -c -P %u %" PRIu64 " %" PRIu64, op->pattern, op->offset, op->length)
                       : g_strdup_printf("write -q -c -s noise %" PRIu64 " %" PRIu64, op->offset, op->length);
  case OP_SNAPSHOT:
    return g_strdup_printf("snapshot -c s%" PRIu64, op->offset);
  case OP_APPLY:
    return g_strdup_printf("snapshot -a s%" PRIu64, op->offset);
  case OP_DELETE:
    return g_strdup_printf("snapshot -d s%" PRIu64, op->offset);
  case OP_ZERO:
    return g_strdup_printf("write -q -z %" PRIu64 " %" PRIu64, op->offset, op->length);
  case OP_ZERO_UNMAP:
    return g_strdup_printf("write -q -z -u %" PRIu64 " %" PRIu64, op->offset, op->length);
  case OP_DISCARD:
    return g_strdup_printf("discard -q %" PRIu64 " %" PRIu64, op->offset, op->length);
  case OP_RESIZE:
    return g_strdup_printf("truncate %" PRIu64, op->length);
  case OP_FLUSH:
    return g_strdup("flush");
  case OP_REOPEN:
    break;
  }
  return g_strdup("reopen");
}
