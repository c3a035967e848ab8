#include "tests/fuzz/script.h"

#include "tests/drivers/mem-child.h"
#include "tests/fuzz/shadow.h"

#include <errno.h>
#include <string.h>

enum { LONGEST = 64 << 10, KEPT = 4 };

/* A snapshot that the script took. */
typedef struct Kept {
  char *id; /* NULL: none */
  Shadow *shadow;
} Kept;

typedef struct Run {
  Shim *shim;
  const BgDriver *driver;
  BgChild *file;
  Shadow shadow;
  Kept kept[KEPT];
  void *view;  /* of a snapshot that was there before the script; NULL: none */
  bool failed; /* the storage did, as the script asked for */
  unsigned count;
  uint8_t buffer[LONGEST];
} Run;

/* ── reading the script ── */

void script_read(const uint8_t *data, size_t size, uint8_t script[SCRIPT_SIZE])
{
  memset(script, 0, SCRIPT_SIZE);
  if (size >= SCRIPT_SIZE)
    memcpy(script, data + size - SCRIPT_SIZE, SCRIPT_SIZE);
}

const char *const *script_options(const uint8_t *script)
{
  static const char *const choices[][7] = {
      {NULL},
      {"overlap-check", "all", "discard-no-unref", "on", NULL},
      {"overlap-check", "none", "lazy-refcounts", "on", NULL},
      {"l2-cache-size", "0", "refcount-cache-size", "0", "pass-discard-other", "on", NULL},
  };
  return choices[script[1] % G_N_ELEMENTS(choices)];
}

/* Where a step goes: a number of half units from the disk's start or end, or anywhere; some bytes off now and then. False: the disk is
 * empty. */
static bool pick(Run *run, const uint8_t *step, uint64_t *offset, uint64_t *length)
{
  uint64_t size = (uint64_t)shim_size(run->shim);
  BgLimits limits;
  shim_limits(run->shim, &limits);
  uint64_t half = MIN(MAX(limits.granularity / 2, 256u), 16u << 10), away = (step[1] & 63) * half;
  if (size == 0)
    return false;
  switch (step[1] >> 6) {
  case 0:
  case 1:
    *offset = away % size;
    break;
  case 2:
    *offset = size - 1 - away % size;
    *offset -= *offset % half;
    break;
  default:
    *offset = size / 64 * (step[1] & 63);
  }
  *length = (1 + step[2] % 16) * half;
  if (step[2] & 16) {
    *offset += step[3];
    *length += step[2];
  }
  *length = *offset < size ? MIN(MIN(*length, LONGEST), size - *offset) : 0;
  return *length > 0;
}

/* One byte over and over, which gets small, or noise, which does not. */
static void fill(uint8_t *buffer, uint64_t length, uint8_t value)
{
  uint32_t noise = value;
  memset(buffer, value, length);
  for (uint64_t i = 0; value >= 0xe0 && i < length; i++) {
    noise = noise * 1664525 + 1013904223;
    buffer[i] = (uint8_t)(noise >> 24);
  }
}

/* ── data ── */

static void step_write(Run *run, const uint8_t *step)
{
  uint64_t offset, length;
  if (!pick(run, step, &offset, &length))
    return;
  fill(run->buffer, length, step[3]);
  int rc = shim_write(run->shim, run->buffer, length, offset);
  shadow_set(&run->shadow, offset, length, rc == 0 ? run->buffer : NULL);
}

static void step_compress(Run *run, const uint8_t *step)
{
  shim_set_special(run->shim, true);
  step_write(run, step);
  shim_set_special(run->shim, false);
}

static void step_zero(Run *run, const uint8_t *step)
{
  uint64_t offset, length;
  if (!pick(run, step, &offset, &length))
    return;
  memset(run->buffer, 0, length);
  int rc = shim_zero(run->shim, offset, length, step[3] % 2 ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE);
  shadow_set(&run->shadow, offset, length, rc == 0 ? run->buffer : NULL);
}

static void step_discard(Run *run, const uint8_t *step)
{
  uint64_t offset, length;
  if (!pick(run, step, &offset, &length))
    return;
  shadow_set(&run->shadow, offset, length, NULL);
  shim_discard(run->shim, offset, length);
}

static void step_read(Run *run, const uint8_t *step)
{
  uint64_t offset, length, size = (uint64_t)shim_size(run->shim);
  BgExtent extent;
  if (!pick(run, step, &offset, &length))
    return;
  shim_map(run->shim, offset, size - offset, &extent);
  shim_read(run->shim, run->buffer, length, offset);
}

static void step_write_out(Run *run, const uint8_t *step)
{
  if (step[1] % 2)
    shim_flush(run->shim);
  else
    shim_write_back(run->shim);
}

/* A size near the one that it has; filling a hostile petabyte with zeros is nobody's wish. */
static void step_resize(Run *run, const uint8_t *step)
{
  uint64_t old = (uint64_t)shim_size(run->shim), change = step[2] * UINT64_C(512);
  if (old >= UINT64_C(1) << 40)
    return;
  uint64_t size = step[1] % 2 || change > old ? old + change : old - change;
  if (shim_resize(run->shim, size) < 0) {
    shadow_set(&run->shadow, MIN(old, size), LONGEST * 2, NULL);
    return;
  }
  memset(run->buffer, 0, sizeof run->buffer);
  for (uint64_t at = old; at < size; at += LONGEST)
    shadow_set(&run->shadow, at, MIN(size - at, LONGEST), run->buffer);
  if (size < old)
    shadow_set(&run->shadow, size, old - size, NULL);
}

/* ── snapshots ── */

static Kept *find_kept(Run *run, const char *id)
{
  for (size_t i = 0; i < KEPT; i++)
    if (g_strcmp0(run->kept[i].id, id) == 0)
      return &run->kept[i];
  return NULL;
}

static void kept_clear(Kept *kept)
{
  g_clear_pointer(&kept->id, g_free);
  g_clear_pointer(&kept->shadow, g_free);
}

static void step_create(Run *run, const uint8_t *step)
{
  g_autofree char *name = g_strdup_printf("fuzz-%u-%u", run->count++, step[1]);
  if (!run->driver->snapshot_create(shim_instance(run->shim), name, NULL))
    return;
  g_autoptr(GPtrArray) list = shim_snapshots(run->shim);
  g_assert(list->len > 0);
  const BgSnapshot *taken = list->pdata[list->len - 1];
  g_assert_cmpstr(taken->name, ==, name);
  Kept *kept = find_kept(run, NULL);
  if (!kept)
    return;
  kept->id = g_strdup(taken->id);
  kept->shadow = g_memdup2(&run->shadow, sizeof run->shadow);
}

/* The id of the one that a step means, the caller's. NULL: there is none. */
static char *choose(Run *run, const uint8_t *step)
{
  g_autoptr(GPtrArray) list = shim_snapshots(run->shim);
  return list->len ? g_strdup(((const BgSnapshot *)list->pdata[step[1] % list->len])->id) : NULL;
}

static void step_apply(Run *run, const uint8_t *step)
{
  g_autofree char *id = choose(run, step);
  if (!id)
    return;
  BgBitmaps *bitmaps = shim_bitmaps(run->shim);
  bg_bitmaps_mark_all(bitmaps);
  if (run->driver->snapshot_apply(shim_instance(run->shim), id, NULL)) {
    const Kept *kept = find_kept(run, id);
    if (kept)
      run->shadow = *kept->shadow;
    else
      shadow_set(&run->shadow, 0, SHADOW_SIZE, NULL);
  }
  bg_bitmaps_resize(bitmaps, (uint64_t)shim_size(run->shim));
}

static void step_delete(Run *run, const uint8_t *step)
{
  g_autofree char *id = choose(run, step);
  Kept *kept = id ? find_kept(run, id) : NULL;
  if (id && run->driver->snapshot_delete(shim_instance(run->shim), id, NULL) && kept)
    kept_clear(kept);
}

static void step_read_snapshot(Run *run, const uint8_t *step)
{
  g_autofree char *id = choose(run, step);
  if (id)
    shim_read_snapshot(run->shim, id, run->buffer, 1 + step[2] * UINT64_C(256));
}

/* Through the view that was opened before: its snapshot may be another one by now, or gone. */
static void step_view(Run *run, const uint8_t *step)
{
  const BgDriver *view = run->driver->view;
  int64_t size = run->view ? view->size(run->view) : 0;
  uint64_t offset = step[1] * UINT64_C(512);
  BgExtent extent;
  if (size <= 0 || offset >= (uint64_t)size)
    return;
  if (view->map(run->view, offset, (uint64_t)size - offset, &extent) < 0 || extent.kind != BG_EXTENT_SPECIAL)
    return;
  struct iovec iov = {run->buffer, MIN(extent.length, LONGEST)};
  view->preadv_special(run->view, &iov, 1, offset);
}

static void open_view(Run *run, const uint8_t *script)
{
  g_autofree char *id = choose(run, script + 2);
  run->view = id ? run->driver->view_open(shim_instance(run->shim), id) : NULL;
  if (run->view)
    step_view(run, script + 2);
}

/* ── the rest ── */

/* Bitmaps are stored and loaded again. */
static void step_reopen(Run *run, const uint8_t *step)
{
  (void)step;
  if (shim_set_writable(run->shim, false, NULL))
    shim_set_writable(run->shim, true, NULL);
}

static void step_options(Run *run, const uint8_t *step)
{
  shim_set_options(run->shim, script_options(step), NULL);
}

static void stop_failing(Run *run)
{
  run->failed = run->failed || mem_child_has_failed(run->file);
  mem_child_fail(run->file, MEM_ALL, 0, EIO, false);
}

static void step_fail(Run *run, const uint8_t *step)
{
  stop_failing(run);
  mem_child_fail(run->file, step[2] % 2 ? MEM_ALL : MEM_WRITES | MEM_FLUSH, 1 + step[1] % 32,
                 step[2] % 4 ? EIO : ENOSPC, step[3] % 2);
}

static void (*const steps[])(Run *run, const uint8_t *step) = {
    step_write,   step_write,  step_write,   step_compress, step_compress,      step_zero,      step_zero,
    step_discard, step_read,   step_resize,  step_create,   step_create,        step_apply,     step_delete,
    step_view,    step_reopen, step_options, step_fail,     step_read_snapshot, step_write_out,
};

static void check_all(Run *run)
{
  shadow_check(&run->shadow, run->shim);
  for (size_t i = 0; i < KEPT; i++)
    if (run->kept[i].id)
      shadow_check_snapshot(run->kept[i].shadow, run->shim, run->kept[i].id);
}

/* Leaks are no harm: what the image counts behind the file's end becomes one when the file grows, and so do bitmaps that are given up. */
static void check_sound(Run *run)
{
  BgCheckResult result;
  if (!shim_is_writable(run->shim) && shim_check(run->shim, BG_FIX_NONE, &result, NULL))
    g_assert_cmpuint(result.corruptions, ==, 0);
}

static void finish(Run *run, bool sound)
{
  stop_failing(run);
  if (run->view)
    run->driver->view->close(run->view);
  if (sound)
    check_all(run);
  shim_set_writable(run->shim, false, NULL);
  if (sound && !run->failed)
    check_all(run);
  if (sound && shim_corruptions(run->shim) == 0)
    check_sound(run);
}

void script_run(Shim *shim, const BgDriver *driver, BgChild *file, const uint8_t *script, bool sound)
{
  g_autofree Run *run = g_new0(Run, 1);
  run->shim = shim;
  run->driver = driver;
  run->file = file;
  open_view(run, script);
  shim_set_writable(shim, true, NULL);
  for (const uint8_t *step = script + SCRIPT_HEAD; step < script + SCRIPT_SIZE && shim_is_writable(shim);
       step += SCRIPT_STEP)
    if (step[0] != 0)
      steps[step[0] % G_N_ELEMENTS(steps)](run, step);
  finish(run, sound);
  for (size_t i = 0; i < KEPT; i++)
    kept_clear(&run->kept[i]);
}
