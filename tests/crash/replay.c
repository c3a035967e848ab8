#include "tests/crash/replay.h"

#include "tests/crash/random.h"
#include "tests/drivers/mem-child.h"

#include <string.h>

enum { SECTOR = 512 };

struct Replay {
  BgChild *record;
  BgChild *durable; /* memory child: all entries before `flushed` are in it */
  BgChild *newest;  /* memory child: all entries before `cut` */
  GArray *late;     /* RecordEntry: those between them, in whole sectors */
  size_t flushed, cut;
};

static const char *const names[POWER_CUTS] = {"all", "none", "subset", "torn"};

const char *power_cut_name(PowerCut how)
{
  return names[how];
}

bool power_cut_parse(const char *name, PowerCut *how)
{
  for (int i = 0; i < POWER_CUTS; i++)
    if (strcmp(names[i], name) == 0) {
      *how = (PowerCut)i;
      return true;
    }
  return false;
}

static void clear_late(void *entry)
{
  g_free(((RecordEntry *)entry)->data);
}

Replay *replay_new(BgChild *record, const uint8_t *bytes, uint64_t size)
{
  Replay *replay = g_new0(Replay, 1);
  replay->record = record;
  replay->durable = mem_child_new(size);
  replay->newest = mem_child_new(size);
  memcpy(mem_child_data(replay->durable), bytes, size);
  memcpy(mem_child_data(replay->newest), bytes, size);
  replay->late = g_array_new(FALSE, FALSE, sizeof(RecordEntry));
  g_array_set_clear_func(replay->late, clear_late);
  return replay;
}

void replay_free(Replay *replay)
{
  if (!replay)
    return;
  mem_child_free(replay->durable);
  mem_child_free(replay->newest);
  g_array_unref(replay->late);
  g_free(replay);
}

/* The part [from, from + length) of one call. */
static void apply_part(BgChild *disk, const RecordEntry *entry, uint64_t from, uint64_t length)
{
  int rc = 0;
  switch (entry->kind) {
  case RECORD_WRITE:
    rc = bg_child_pwrite(disk, entry->data + from, length, entry->offset + from);
    break;
  case RECORD_ZERO:
    rc = disk->ops->zero(disk, entry->offset + from, length, BG_ZERO_NONE);
    break;
  case RECORD_DISCARD:
    rc = disk->ops->discard(disk, entry->offset + from, length);
    break;
  case RECORD_RESIZE:
    rc = disk->ops->resize(disk, entry->offset);
    break;
  case RECORD_FLUSH:
    break;
  }
  g_assert(rc == 0);
}

static void apply(BgChild *disk, const RecordEntry *entry)
{
  apply_part(disk, entry, 0, entry->length);
}

/* Each sector by itself, as it falls. */
static void apply_torn(BgChild *disk, const RecordEntry *entry, uint64_t *random, unsigned percent)
{
  if (entry->kind == RECORD_RESIZE) {
    if (random_below(random, 100) < percent)
      apply(disk, entry);
    return;
  }
  for (uint64_t from = 0; from < entry->length;) {
    uint64_t step = MIN(SECTOR - (entry->offset + from) % SECTOR, entry->length - from);
    if (random_below(random, 100) < percent)
      apply_part(disk, entry, from, step);
    from += step;
  }
}

/* A call as the disk sees it: of a sector that it changes in part, a page cache writes all, earlier changes included. */
static void add_late(Replay *replay, const RecordEntry *entry)
{
  RecordEntry late = *entry;
  uint64_t end = entry->offset + entry->length;
  bool ranged = entry->kind != RECORD_RESIZE && entry->kind != RECORD_FLUSH;
  if (ranged && (entry->offset % SECTOR || end % SECTOR)) {
    late.kind = RECORD_WRITE;
    late.offset = entry->offset / SECTOR * SECTOR;
    end = MIN((end + SECTOR - 1) / SECTOR * SECTOR, (uint64_t)replay->newest->ops->size(replay->newest));
    late.length = end - late.offset;
    late.data = g_memdup2(mem_child_data(replay->newest) + late.offset, late.length);
  } else if (entry->data) {
    late.data = g_memdup2(entry->data, entry->length);
  }
  g_array_append_val(replay->late, late);
}

static void make_durable(Replay *replay, size_t flushed)
{
  for (guint i = 0; i < replay->late->len; i++)
    apply(replay->durable, &g_array_index(replay->late, RecordEntry, i));
  g_array_set_size(replay->late, 0);
  replay->flushed = flushed;
}

void replay_advance(Replay *replay, size_t cut)
{
  g_assert(cut >= replay->cut && cut <= record_length(replay->record));
  for (; replay->cut < cut; replay->cut++) {
    const RecordEntry *entry = record_entry(replay->record, replay->cut);
    apply(replay->newest, entry);
    if (entry->kind == RECORD_FLUSH)
      make_durable(replay, replay->cut + 1);
    else
      add_late(replay, entry);
  }
}

size_t replay_flushed(const Replay *replay)
{
  return replay->flushed;
}

BgChild *replay_state(Replay *replay, PowerCut how, uint64_t seed)
{
  static const unsigned percents[] = {10, 50, 90};
  unsigned percent = percents[random_below(&seed, G_N_ELEMENTS(percents))];
  BgChild *disk = mem_child_fork(replay->durable);
  for (guint i = 0; i < replay->late->len && how != POWER_CUT_NONE; i++) {
    const RecordEntry *entry = &g_array_index(replay->late, RecordEntry, i);
    if (how == POWER_CUT_TORN)
      apply_torn(disk, entry, &seed, percent);
    else if (how == POWER_CUT_ALL || random_below(&seed, 100) < percent)
      apply(disk, entry);
  }
  return disk;
}
