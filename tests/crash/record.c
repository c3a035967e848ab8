#include "tests/crash/record.h"

#include "drivers/iov.h"

typedef struct RecordChild {
  BgChild child;
  BgChild *below;
  Record *record;
  unsigned file;
  RecordFault fault;
  bool owed; /* a flush that comes late */
} RecordChild;

struct Record {
  RecordChild children[CRASH_FILES];
  CrashFiles files; /* those of `children` that are there */
  GArray *entries;
};

static RecordChild *recorder(BgChild *child)
{
  return (RecordChild *)child;
}

static void clear_entry(void *entry)
{
  g_free(((RecordEntry *)entry)->data);
}

static void append(RecordChild *child, RecordEntry entry)
{
  entry.file = child->file;
  g_array_append_val(child->record->entries, entry);
}

static void append_flush(RecordChild *child, RecordEntry entry)
{
  if (child->fault == RECORD_RIGHT || child->fault == RECORD_DEAF)
    append(child, entry);
  child->owed = child->fault == RECORD_LATE_FLUSH;
}

static void append_write(RecordChild *child, RecordEntry entry)
{
  append(child, entry);
  if (child->owed)
    append(child, (RecordEntry){.kind = RECORD_FLUSH});
  child->owed = false;
}

/* Writes the call down if it worked. Returns what the driver hears of `rc`. */
static int note(BgChild *child, int rc, RecordEntry entry)
{
  if (rc < 0)
    g_free(entry.data);
  else
    (entry.kind == RECORD_FLUSH ? append_flush : append_write)(recorder(child), entry);
  return recorder(child)->fault == RECORD_DEAF ? 0 : rc;
}

static int record_preadv(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgChild *below = recorder(child)->below;
  return below->ops->preadv(below, iov, iovcnt, offset);
}

static int record_pwritev(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgChild *below = recorder(child)->below;
  RecordEntry entry = {.kind = RECORD_WRITE, .offset = offset, .length = bg_iov_length(iov, iovcnt)};
  entry.data = g_malloc(MAX(entry.length, (uint64_t)1));
  bg_iov_to_buffer(iov, iovcnt, 0, entry.data, entry.length);
  return note(child, below->ops->pwritev(below, iov, iovcnt, offset), entry);
}

static int record_zero(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  BgChild *below = recorder(child)->below;
  return note(child, below->ops->zero(below, offset, length, flags),
              (RecordEntry){.kind = RECORD_ZERO, .offset = offset, .length = length});
}

static int record_discard(BgChild *child, uint64_t offset, uint64_t length)
{
  BgChild *below = recorder(child)->below;
  return note(child, below->ops->discard(below, offset, length),
              (RecordEntry){.kind = RECORD_DISCARD, .offset = offset, .length = length});
}

static int record_flush(BgChild *child)
{
  BgChild *below = recorder(child)->below;
  return note(child, below->ops->flush(below), (RecordEntry){.kind = RECORD_FLUSH});
}

static int64_t record_size(BgChild *child)
{
  BgChild *below = recorder(child)->below;
  return below->ops->size(below);
}

static int record_resize(BgChild *child, uint64_t size)
{
  BgChild *below = recorder(child)->below;
  return note(child, below->ops->resize(below, size), (RecordEntry){.kind = RECORD_RESIZE, .offset = size});
}

static void record_limits(BgChild *child, BgLimits *limits)
{
  BgChild *below = recorder(child)->below;
  below->ops->limits(below, limits);
}

static const BgChildOps record_ops = {
    .preadv = record_preadv,
    .pwritev = record_pwritev,
    .zero = record_zero,
    .discard = record_discard,
    .flush = record_flush,
    .size = record_size,
    .resize = record_resize,
    .limits = record_limits,
};

Record *record_new(const CrashFiles *below)
{
  Record *record = g_new0(Record, 1);
  record->entries = g_array_new(FALSE, FALSE, sizeof(RecordEntry));
  g_array_set_clear_func(record->entries, clear_entry);
  for (unsigned i = 0; i < CRASH_FILES; i++) {
    BgChild *file = below->of[i];
    if (!file)
      continue;
    record->children[i] = (RecordChild){{&record_ops, file->name, file->role}, file, record, i, RECORD_RIGHT, false};
    record->files.of[i] = &record->children[i].child;
  }
  return record;
}

void record_free(Record *record)
{
  if (!record)
    return;
  g_array_unref(record->entries);
  g_free(record);
}

const CrashFiles *record_files(const Record *record)
{
  return &record->files;
}

size_t record_length(const Record *record)
{
  return record->entries->len;
}

const RecordEntry *record_entry(const Record *record, size_t index)
{
  return &g_array_index(record->entries, RecordEntry, index);
}

void record_plant(Record *record, RecordFault fault, unsigned file)
{
  record->children[file].fault = fault;
}
