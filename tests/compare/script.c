#include "tests/compare/script.h"

#include "tests/crash/random.h"

#include <inttypes.h>

enum { SECTOR = 512 };

typedef struct Script {
  const Config *config;
  uint64_t random;
  uint64_t size; /* of the disk as the script left it so far */
} Script;

static uint64_t below(Script *s, uint64_t limit)
{
  return random_below(&s->random, MAX(limit, 1));
}

/* A range of whole `unit`s, most of them short, cut at the disk's end. */
static void pick(Script *s, uint64_t unit, Op *op)
{
  uint64_t units = s->size / unit + (s->size % unit != 0), most = below(s, 12) ? 4 : 24;
  op->offset = below(s, units) * unit;
  uint64_t length = (1 + below(s, most)) * unit;
  op->length = MIN(length, s->size - op->offset);
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
  op->length = s->size = (least + below(s, most - least)) / unit * unit;
}

static Op next(Script *s)
{
  Op op = {.pattern = (uint8_t)(1 + below(s, 255))};
  uint64_t choice = below(s, 1000);
  if (choice < 560) {
    op.kind = OP_WRITE;
    pick_any(s, &op);
  } else if (choice < 760) {
    op.kind = choice % 2 ? OP_ZERO : OP_ZERO_UNMAP;
    pick_any(s, &op);
  } else if (choice < 960) {
    op.kind = OP_DISCARD;
    pick_discard(s, &op);
  } else if (choice < 970) {
    op.kind = OP_RESIZE;
    pick_size(s, &op);
  } else {
    op.kind = choice < 990 ? OP_FLUSH : OP_REOPEN;
  }
  return op;
}

GArray *script_new(const Config *config, uint64_t seed, size_t count)
{
  Script s = {.config = config, .random = seed, .size = config->size};
  GArray *script = g_array_new(FALSE, FALSE, sizeof(Op));
  while (script->len < count) {
    Op op = next(&s);
    g_array_append_val(script, op);
  }
  return script;
}

char *op_text(const Op *op)
{
  switch (op->kind) {
  case OP_WRITE:
    return g_strdup_printf("write -q -P %u %" PRIu64 " %" PRIu64, op->pattern, op->offset, op->length);
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
