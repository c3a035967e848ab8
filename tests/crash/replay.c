#include "tests/crash/replay.h"

#include "tests/crash/random.h"
#include "tests/drivers/mem-child.h"

#include <string.h>

enum { SECTOR = 512 };

struct Replay {
  const Record *record;
  CrashFiles durable; /* all entries that their file's last flush covers are in them */
  CrashFiles newest;  /* all entries before `cut` */
  GArray *late;       /* RecordEntry: those between them, in whole sectors */
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

Replay *replay_new(const Record *record, const CrashFiles *start)
{
  Replay *replay = g_new0(Replay, 1);
  replay->record = record;
  replay->durable = crash_files_copy(start);
  replay->newest = crash_files_fork(start);
  replay->late = g_array_new(FALSE, FALSE, sizeof(RecordEntry));
  g_array_set_clear_func(replay->late, clear_late);
  return replay;
}

void replay_free(Replay *replay)
{
  if (!replay)
    return;
  crash_files_clear(&replay->durable);
  crash_files_clear(&replay->newest);
  g_array_unref(replay->late);
  g_free(replay);
}

/* The part [from, from + length) of one call. */
static void apply_part(const CrashFiles *files, const RecordEntry *entry, uint64_t from, uint64_t length)
{
  BgChild *disk = files->of[entry->file];
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

static void apply(const CrashFiles *files, const RecordEntry *entry)
{
  apply_part(files, entry, 0, entry->length);
}

/* Each sector by itself, as it falls. */
static void apply_torn(const CrashFiles *files, const RecordEntry *entry, uint64_t *random, unsigned percent)
{
  if (entry->kind == RECORD_RESIZE) {
    if (random_below(random, 100) < percent)
      apply(files, entry);
    return;
  }
  for (uint64_t from = 0; from < entry->length;) {
    uint64_t step = MIN(SECTOR - (entry->offset + from) % SECTOR, entry->length - from);
    if (random_below(random, 100) < percent)
      apply_part(files, entry, from, step);
    from += step;
  }
}

/* A call as the disk sees it: of a sector that it changes in part, a page cache writes all, earlier changes included. */
static void add_late(Replay *replay, const RecordEntry *entry)
{
  RecordEntry late = *entry;
  BgChild *newest = replay->newest.of[entry->file];
  uint64_t end = entry->offset + entry->length;
  bool ranged = entry->kind != RECORD_RESIZE;
  if (ranged && (entry->offset % SECTOR || end % SECTOR)) {
    late.kind = RECORD_WRITE;
    late.offset = entry->offset / SECTOR * SECTOR;
    end = MIN((end + SECTOR - 1) / SECTOR * SECTOR, (uint64_t)newest->ops->size(newest));
    late.length = end - late.offset;
    late.data = g_memdup2(mem_child_data(newest) + late.offset, late.length);
  } else if (entry->data) {
    late.data = g_memdup2(entry->data, entry->length);
  }
  g_array_append_val(replay->late, late);
}

/* What came so far to one file is there to stay. */
static void make_durable(Replay *replay, unsigned file)
{
  GArray *late = replay->late;
  guint kept = 0;
  for (guint i = 0; i < late->len; i++) {
    RecordEntry *entry = &g_array_index(late, RecordEntry, i);
    if (entry->file != file) {
      RecordEntry other = *entry;
      entry->data = NULL;
      g_array_index(late, RecordEntry, kept++) = other;
      continue;
    }
    apply(&replay->durable, entry);
    g_clear_pointer(&entry->data, g_free);
  }
  g_array_set_size(late, kept);
}

void replay_advance(Replay *replay, size_t cut)
{
  g_assert(cut >= replay->cut && cut <= record_length(replay->record));
  for (; replay->cut < cut; replay->cut++) {
    const RecordEntry *entry = record_entry(replay->record, replay->cut);
    apply(&replay->newest, entry);
    if (entry->kind == RECORD_FLUSH) {
      make_durable(replay, entry->file);
      replay->flushed = replay->cut + 1;
    } else {
      add_late(replay, entry);
    }
  }
}

size_t replay_flushed(const Replay *replay)
{
  return replay->flushed;
}

/* How much of what came late to each file has reached the disk. The same for two files would miss that one was written out and
 * the other was not. */
static void pick_percents(const Replay *replay, uint64_t *seed, unsigned percents[CRASH_FILES])
{
  static const unsigned alone[] = {10, 50, 90}, together[] = {0, 10, 50, 90, 100};
  bool two = replay->durable.of[CRASH_DATA];
  for (int i = 0; i < CRASH_FILES; i++)
    percents[i] =
        two ? together[random_below(seed, G_N_ELEMENTS(together))] : alone[random_below(seed, G_N_ELEMENTS(alone))];
}

CrashFiles replay_state(Replay *replay, PowerCut how, uint64_t seed)
{
  unsigned percents[CRASH_FILES];
  pick_percents(replay, &seed, percents);
  CrashFiles files = crash_files_fork(&replay->durable);
  for (guint i = 0; i < replay->late->len && how != POWER_CUT_NONE; i++) {
    const RecordEntry *entry = &g_array_index(replay->late, RecordEntry, i);
    unsigned percent = percents[entry->file];
    if (how == POWER_CUT_TORN)
      apply_torn(&files, entry, &seed, percent);
    else if (how == POWER_CUT_ALL || random_below(&seed, 100) < percent)
      apply(&files, entry);
  }
  return files;
}
