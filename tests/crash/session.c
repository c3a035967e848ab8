#include "tests/crash/session.h"

#include "drivers/registry.h"
#include "tests/crash/random.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* What a memory child leaves of what is discarded. */
#define DISCARDED 0xdd

enum { SECTOR = SHADOW_SECTOR, SNAPSHOT_EVERY = 10, MOST_SNAPSHOTS = 4 };

void session_fill(uint8_t *data, uint64_t length, uint64_t seed)
{
  for (uint64_t i = 0; i < length; i += 8) {
    uint64_t word = random_next(&seed) | 1;
    memcpy(data + i, &word, MIN(8, length - i));
  }
}

/* The same, but each sector is its first word again and again: it gets smaller, and still is no other's. */
static void fill_sectors(uint8_t *data, uint64_t length, uint64_t seed)
{
  for (uint64_t at = 0; at < length; at += SECTOR) {
    uint64_t word = random_next(&seed) | 1, here = MIN(SECTOR, length - at);
    for (uint64_t i = 0; i < here; i += 8)
      memcpy(data + at + i, &word, MIN(8, here - i));
  }
}

/* ── opening ── */

Shim *session_open(const Session *s, const CrashFiles *files, GError **error)
{
  return origin_open(s->origin, files, error);
}

uint8_t *session_read_all(const Session *s, Shim *shim, GError **error)
{
  uint64_t capacity = shadow_capacity(s->shadow);
  int64_t size = shim_size(shim);
  if (size < 0 || (uint64_t)size > capacity) {
    bg_set_error(error, EILSEQ, "the disk has the size %" PRId64, size);
    return NULL;
  }
  g_autofree uint8_t *content = g_malloc(capacity);
  int rc = shim_read(shim, content, capacity, 0);
  if (rc < 0) {
    bg_set_error_errno(error, -rc, "cannot read the disk");
    return NULL;
  }
  return g_steal_pointer(&content);
}

bool session_check(Session *s, GError **error)
{
  g_autofree uint8_t *content = session_read_all(s, s->shim, error);
  return content && shadow_equals(s->shadow, content, (uint64_t)shim_size(s->shim), error) &&
         snapshots_equal(s->snapshots, s->shim, error);
}

bool session_allows_snapshots(const Session *s, size_t cut, Shim *shim, GError **error)
{
  return snapshots_allow(s->snapshots, cut, shim, error);
}

/* All that was done is durable. */
static void flushed(Session *s)
{
  shadow_flushed(s->shadow, record_length(s->record));
  snapshots_flushed(s->snapshots, record_length(s->record));
}

bool session_set_writable(Session *s, bool writable, GError **error)
{
  bool was = shim_is_writable(s->shim);
  s->open = false;
  if (!shim_set_writable(s->shim, writable, error))
    return false;
  s->open = writable;
  if (was && !writable)
    flushed(s);
  return true;
}

/* ── the script ── */

/* A range, mostly at sector borders, mostly in the part of the disk that is used again and again. False: the disk is too small. */
static bool pick_range(Session *s, uint64_t *offset, uint64_t *length)
{
  uint64_t size = shadow_size(s->shadow), most = s->origin->format->step * 3;
  uint64_t span = random_below(&s->random, 10) ? MIN(size, s->origin->format->reach) : size;
  uint64_t unit = random_below(&s->random, 4) ? SECTOR : 1;
  if (random_below(&s->random, 3) == 0)
    unit = s->origin->format->step;
  *offset = random_below(&s->random, MAX(span, 1)) / unit * unit;
  *length = (1 + random_below(&s->random, most)) / unit * unit;
  *length = MIN(MAX(*length, unit), size > *offset ? size - *offset : 0);
  return *length > 0;
}

static void step_write(Session *s, Step *step)
{
  step->data = g_malloc(step->length);
  bool smaller = s->origin->format->special && random_below(&s->random, 8);
  (smaller ? fill_sectors : session_fill)(step->data, step->length, random_next(&s->random));
  g_snprintf(step->text, sizeof step->text, "write %" PRIu64 "+%" PRIu64, step->offset, step->length);
  step->rc = shim_write(s->shim, step->data, step->length, step->offset);
}

static void step_zero(Session *s, Step *step)
{
  BgZeroFlags flags = random_below(&s->random, 2) ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE;
  g_snprintf(step->text, sizeof step->text, "zero%s %" PRIu64 "+%" PRIu64, flags ? " and unmap" : "", step->offset,
             step->length);
  step->rc = shim_zero(s->shim, step->offset, step->length, flags);
}

static void step_discard(Session *s, Step *step)
{
  g_snprintf(step->text, sizeof step->text, "discard %" PRIu64 "+%" PRIu64, step->offset, step->length);
  step->hint = true;
  step->rc = shim_discard(s->shim, step->offset, step->length);
}

static void step_resize(Session *s, Step *step)
{
  uint64_t capacity = shadow_capacity(s->shadow), old = shadow_size(s->shadow);
  step->size = (capacity / 2 + random_below(&s->random, capacity / 2)) / SECTOR * SECTOR;
  g_snprintf(step->text, sizeof step->text, "resize %" PRIu64 " to %" PRIu64, old, step->size);
  step->forgiving = step->size < old;
  step->rc = shim_resize(s->shim, step->size);
  if (step->rc == -ENOTSUP) { /* before anything changed */
    step->rc = 0;
    step->size = 0;
  }
}

static void step_turn(Session *s, Step *step)
{
  g_autoptr(GError) error = NULL;
  g_snprintf(step->text, sizeof step->text, "reopen");
  if (!session_set_writable(s, false, &error) || !session_set_writable(s, true, &error))
    step->rc = -bg_error_errno(error);
}

static void step_flush(Session *s, Step *step)
{
  g_snprintf(step->text, sizeof step->text, "flush");
  step->rc = shim_flush(s->shim);
  if (step->rc == 0)
    flushed(s);
}

static void step_read(Session *s, Step *step, GError **error)
{
  g_autofree uint8_t *seen = g_malloc(step->length);
  g_snprintf(step->text, sizeof step->text, "read %" PRIu64 "+%" PRIu64, step->offset, step->length);
  step->rc = shim_read(s->shim, seen, step->length, step->offset);
  if (step->rc == 0 && memcmp(seen, shadow_content(s->shadow) + step->offset, step->length) != 0)
    bg_set_error(error, EILSEQ, "%s gives something else than was written", step->text);
  step->length = 0;
}

/* ── snapshots: each call is whole and durable when it returns, or has changed nothing ── */

static const BgDriver *driver_of(const Session *s)
{
  return bg_driver_find(s->origin->format->driver);
}

/* The id of that snapshot, the caller's. */
static char *id_of(Session *s, const char *name)
{
  g_autoptr(GPtrArray) list = shim_snapshots(s->shim);
  for (guint i = 0; i < list->len; i++) {
    const BgSnapshot *snapshot = list->pdata[i];
    if (strcmp(snapshot->name, name) == 0)
      return g_strdup(snapshot->id);
  }
  return g_strdup("");
}

static void step_take(Session *s, Step *step, GError **error)
{
  SnapshotContent content = {shadow_content(s->shadow), shadow_size(s->shadow)};
  g_autofree char *name = g_strdup_printf("s%u", ++s->taken);
  g_snprintf(step->text, sizeof step->text, "take snapshot %s", name);
  bool done = driver_of(s)->snapshot_create(shim_instance(s->shim), name, error);
  snapshots_take(s->snapshots, name, step->begin, content, done);
}

static void become(Session *s, size_t begin, SnapshotContent content)
{
  if (content.size != shadow_size(s->shadow))
    shadow_resize(s->shadow, begin, content.size);
  shadow_write(s->shadow, begin, 0, content.size, content.bytes);
}

static void step_apply(Session *s, Step *step, const char *name, GError **error)
{
  SnapshotContent content = snapshots_content(s->snapshots, name);
  SnapshotContent was = {shadow_content(s->shadow), shadow_size(s->shadow)};
  g_autofree uint8_t *saved = g_memdup2(was.bytes, was.size);
  g_autofree char *id = id_of(s, name);
  g_snprintf(step->text, sizeof step->text, "apply snapshot %s", name);
  bg_bitmaps_mark_all(shim_bitmaps(s->shim));
  bool done = driver_of(s)->snapshot_apply(shim_instance(s->shim), id, error);
  bg_bitmaps_resize(shim_bitmaps(s->shim), (uint64_t)shim_size(s->shim));
  become(s, step->begin, content);
  was.bytes = saved;
  if (!done) /* a crash may show either until the next flush */
    become(s, step->begin, was);
}

static void step_delete(Session *s, Step *step, const char *name, GError **error)
{
  g_autofree char *id = id_of(s, name);
  g_snprintf(step->text, sizeof step->text, "delete snapshot %s", name);
  bool done = driver_of(s)->snapshot_delete(shim_instance(s->shim), id, error);
  snapshots_delete(s->snapshots, name, step->begin, done);
}

static void step_snapshot(Session *s, Step *step)
{
  g_autoptr(GError) error = NULL;
  guint count = snapshots_count(s->snapshots), choice = (guint)random_below(&s->random, 5);
  const char *name = count ? snapshots_name(s->snapshots, (guint)random_below(&s->random, count)) : NULL;
  if (!count || (choice < 2 && count < MOST_SNAPSHOTS))
    step_take(s, step, &error);
  else if (choice == 2)
    step_apply(s, step, name, &error);
  else
    step_delete(s, step, name, &error);
  if (error)
    step->rc = -bg_error_errno(error);
  else
    flushed(s);
}

static void run(Session *s, Step *step, GError **error)
{
  if (s->origin->format->snapshots && random_below(&s->random, SNAPSHOT_EVERY) == 0) {
    step_snapshot(s, step);
    return;
  }
  uint64_t choice = random_below(&s->random, 100);
  bool ranged = pick_range(s, &step->offset, &step->length);
  if (choice < 50 && ranged)
    step_write(s, step);
  else if (choice < 62 && ranged)
    step_zero(s, step);
  else if (choice < 74 && ranged)
    step_discard(s, step);
  else if (choice < 80 && ranged)
    step_read(s, step, error);
  else if (choice >= 98)
    step_turn(s, step);
  else if (choice >= 96)
    step_resize(s, step);
  else if (choice >= 89)
    step_flush(s, step);
  else {
    g_snprintf(step->text, sizeof step->text, "write back");
    step->rc = shim_write_back(s->shim);
  }
  if (choice >= 80)
    step->length = 0;
}

static bool is_all(const uint8_t *bytes, uint64_t length, const uint8_t *expected)
{
  return memcmp(bytes, expected, length) == 0;
}

/* While this is so, calls to the files neither count nor fail. */
static void pause_files(Session *s, bool paused)
{
  for (int i = 0; i < CRASH_FILES; i++)
    if (s->files.of[i])
      mem_child_pause(s->files.of[i], paused);
}

/* Where data lies in a file of its own, what is discarded reads as that file pleases. */
static bool is_discarded(const Session *s, const Step *step, const uint8_t *sector)
{
  uint8_t garbage[SECTOR];
  memset(garbage, DISCARDED, sizeof garbage);
  return step->hint && s->files.of[CRASH_DATA] && is_all(sector, SECTOR, garbage);
}

/* Takes over what a range reads as now: each sector as it was, or as the step wanted it. */
static bool adopt(Session *s, const Step *step, uint64_t offset, uint64_t length, GError **error)
{
  uint64_t start = offset / SECTOR * SECTOR, end = (offset + length + SECTOR - 1) / SECTOR * SECTOR;
  g_autofree uint8_t *seen = g_malloc(end - start), *wanted = g_malloc(end - start);
  const uint8_t *was = shadow_content(s->shadow) + start;
  pause_files(s, true);
  int rc = shim_read(s->shim, seen, end - start, start);
  pause_files(s, false);
  if (rc < 0) {
    bg_set_error_errno(error, -rc, "cannot read after %s", step->text);
    return false;
  }
  memcpy(wanted, was, end - start);
  if (step->data)
    memcpy(wanted + (offset - start), step->data, length);
  else
    memset(wanted + (offset - start), 0, length);
  for (uint64_t at = 0; at < end - start; at += SECTOR)
    if (!is_all(seen + at, SECTOR, was + at) && !is_all(seen + at, SECTOR, wanted + at) &&
        !is_discarded(s, step, seen + at)) {
      bg_set_error(error, EILSEQ, "after %s (%d) sector %" PRIu64 " is neither what it was nor what it should be",
                   step->text, step->rc, (start + at) / SECTOR);
      return false;
    }
  shadow_write(s->shadow, step->begin, start, end - start, seen);
  return true;
}

static bool adopt_size(Session *s, const Step *step, GError **error)
{
  uint64_t size = (uint64_t)shim_size(s->shim), old = shadow_size(s->shadow);
  if (size != old && size != step->size) {
    bg_set_error(error, EILSEQ, "after %s (%d) the disk has %" PRIu64 " bytes", step->text, step->rc, size);
    return false;
  }
  if (size == step->size)
    shadow_resize(s->shadow, step->begin, size);
  else if (step->size < old)
    return adopt(s, step, step->size, old - step->size, error);
  return true;
}

void step_clear(Step *step)
{
  g_clear_pointer(&step->data, g_free);
}

bool session_settle(Session *s, Step *step, GError **error)
{
  bool good = true;
  if (step->size)
    good = adopt_size(s, step, error);
  else if (step->length)
    good = adopt(s, step, step->offset, step->length, error);
  step_clear(step);
  return good;
}

bool session_step(Session *s, Step *step, GError **error)
{
  g_autoptr(GError) wrong = NULL;
  *step = (Step){.begin = record_length(s->record)};
  s->steps++;
  if (!s->open && !session_set_writable(s, true, &wrong)) {
    g_snprintf(step->text, sizeof step->text, "reopen");
    step->rc = -bg_error_errno(wrong);
    return true;
  }
  run(s, step, &wrong);
  if (wrong) {
    g_propagate_error(error, g_steal_pointer(&wrong));
    return false;
  }
  if (step->rc < 0)
    return true;
  if (step->length && !step->hint && !step->size) {
    shadow_write(s->shadow, step->begin, step->offset, step->length, step->data);
    step_clear(step);
    return true;
  }
  return session_settle(s, step, error);
}

bool session_run(Session *s, unsigned steps, SessionWatcher watcher, GError **error)
{
  for (unsigned i = 0; i < steps; i++) {
    Step step;
    if (!session_step(s, &step, error))
      return false;
    step_clear(&step);
    if (watcher)
      watcher(&step);
    if (step.rc < 0) {
      bg_set_error_errno(error, -step.rc, "%s", step.text);
      return false;
    }
  }
  return true;
}

/* ── beginning and end ── */

Session *session_new(const Origin *origin, GError **error)
{
  g_autoptr(Session) s = g_new0(Session, 1);
  s->origin = origin;
  s->random = origin->random;
  s->taken = origin->taken;
  s->files = crash_files_fork(&origin->files);
  s->record = record_new(&s->files);
  s->shadow = shadow_new(origin->capacity, origin->content, origin->size);
  s->snapshots = snapshots_copy(origin->snapshots);
  s->shim = session_open(s, record_files(s->record), error);
  return s->shim && session_check(s, error) && session_set_writable(s, true, error) ? g_steal_pointer(&s) : NULL;
}

bool session_reopen(Session *s, GError **error)
{
  g_clear_pointer(&s->shim, shim_close);
  s->open = false;
  s->shim = session_open(s, record_files(s->record), error);
  return s->shim;
}

void session_free(Session *s)
{
  if (!s)
    return;
  shim_close(s->shim);
  record_free(s->record);
  crash_files_clear(&s->files);
  shadow_free(s->shadow);
  snapshots_free(s->snapshots);
  g_free(s);
}
