#include "tests/crash/record.h"

#include "drivers/iov.h"

typedef struct RecordChild {
  BgChild child;
  BgChild *below;
  GArray *entries;
} RecordChild;

static RecordChild *recorder(BgChild *child)
{
  return (RecordChild *)child;
}

static void clear_entry(void *entry)
{
  g_free(((RecordEntry *)entry)->data);
}

/* Writes the call down if it worked. Returns `rc`. */
static int note(BgChild *child, int rc, RecordKind kind, uint64_t offset, uint64_t length, uint8_t *data)
{
  RecordEntry entry = {kind, offset, length, data};
  if (rc == 0)
    g_array_append_val(recorder(child)->entries, entry);
  else
    g_free(data);
  return rc;
}

static int record_preadv(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgChild *below = recorder(child)->below;
  return below->ops->preadv(below, iov, iovcnt, offset);
}

static int record_pwritev(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgChild *below = recorder(child)->below;
  size_t length = bg_iov_length(iov, iovcnt);
  uint8_t *data = g_malloc(MAX(length, (size_t)1));
  bg_iov_to_buffer(iov, iovcnt, 0, data, length);
  return note(child, below->ops->pwritev(below, iov, iovcnt, offset), RECORD_WRITE, offset, length, data);
}

static int record_zero(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  BgChild *below = recorder(child)->below;
  return note(child, below->ops->zero(below, offset, length, flags), RECORD_ZERO, offset, length, NULL);
}

static int record_discard(BgChild *child, uint64_t offset, uint64_t length)
{
  BgChild *below = recorder(child)->below;
  return note(child, below->ops->discard(below, offset, length), RECORD_DISCARD, offset, length, NULL);
}

static int record_flush(BgChild *child)
{
  BgChild *below = recorder(child)->below;
  return note(child, below->ops->flush(below), RECORD_FLUSH, 0, 0, NULL);
}

static int64_t record_size(BgChild *child)
{
  BgChild *below = recorder(child)->below;
  return below->ops->size(below);
}

static int record_resize(BgChild *child, uint64_t size)
{
  BgChild *below = recorder(child)->below;
  return note(child, below->ops->resize(below, size), RECORD_RESIZE, size, 0, NULL);
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

BgChild *record_child_new(BgChild *below)
{
  RecordChild *record = g_new0(RecordChild, 1);
  record->child = (BgChild){&record_ops, below->name, below->role};
  record->below = below;
  record->entries = g_array_new(FALSE, FALSE, sizeof(RecordEntry));
  g_array_set_clear_func(record->entries, clear_entry);
  return &record->child;
}

void record_child_free(BgChild *child)
{
  if (!child)
    return;
  g_array_unref(recorder(child)->entries);
  g_free(child);
}

size_t record_length(BgChild *child)
{
  return recorder(child)->entries->len;
}

const RecordEntry *record_entry(BgChild *child, size_t index)
{
  return &g_array_index(recorder(child)->entries, RecordEntry, index);
}
