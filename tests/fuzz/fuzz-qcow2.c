/* A hostile qcow2 image: opened, looked at, mapped, read, checked, mended, and changed in every way that the contract of drivers knows; what
 * is done is told by the end of the input. */
#include "tests/fuzz/fuzz.h"

#include "drivers/registry.h"
#include "tests/drivers/mem-child.h"
#include "tests/fuzz/key-area.h"
#include "tests/fuzz/script.h"

#include <string.h>

enum { PIECE = 8 << 10, PIECES = 12, SNAPSHOTS = 3, BACKING = 24 << 10 };

/* What the driver may make of the image before the storage is full. */
static const uint64_t capacity = UINT64_C(8) << 20;

/* ── looking ── */

/* From the start, from the end, and between. */
static uint64_t place(uint64_t size, uint64_t i)
{
  uint64_t step = MAX(size / PIECES, 1);
  return i % 3 == 0 ? i / 3 * PIECE : i % 3 == 1 ? i * step : size - MIN(size, (i / 3 + 1) * PIECE);
}

static void read_around(Shim *shim)
{
  uint8_t buffer[PIECE];
  uint64_t size = (uint64_t)shim_size(shim);
  for (uint64_t i = 0; i < PIECES; i++) {
    uint64_t offset = place(size, i);
    BgExtent extent;
    if (offset >= size)
      continue;
    shim_map(shim, offset, size - offset, &extent);
    shim_read(shim, buffer, MIN((uint64_t)PIECE, size - offset), offset);
  }
}

static void look_at_snapshots(Shim *shim, const BgDriver *driver)
{
  uint8_t buffer[PIECE];
  g_autoptr(GPtrArray) list = shim_snapshots(shim);
  for (guint i = 0; i < MIN(list->len, (guint)SNAPSHOTS); i++) {
    const BgSnapshot *snapshot = list->pdata[i];
    g_assert(snapshot->id && snapshot->name);
    void *view = driver->view_open(shim_instance(shim), snapshot->id);
    int64_t size = view ? driver->view->size(view) : 0;
    BgExtent extent;
    if (size > 0)
      driver->view->map(view, 0, (uint64_t)size, &extent);
    if (view)
      driver->view->close(view);
    shim_read_snapshot(shim, snapshot->id, buffer, sizeof buffer);
  }
}

static void take_fact(BgInfo *info, const char *name, GVariant *value)
{
  (void)info;
  g_assert(name);
  g_variant_unref(g_variant_ref_sink(value));
}

/* Whether nothing is wrong with the image. */
static bool look(Shim *shim, const BgDriver *driver)
{
  BgInfo info = {take_fact};
  BgCheckResult result;
  driver->info(shim_instance(shim), &info);
  look_at_snapshots(shim, driver);
  read_around(shim);
  return shim_check(shim, BG_FIX_NONE, &result, NULL) && result.corruptions + result.leaks + result.check_errors == 0;
}

/* ── changing ── */

/* What was mended stays so, and what was left was told. Whether nothing is wrong any more. */
static bool mend(Shim *shim, const uint8_t *script)
{
  BgCheckResult mended, again;
  BgFix fix = script[0] & SCRIPT_LEAKS_ONLY ? BG_FIX_LEAKS : BG_FIX_ALL;
  if (!shim_check(shim, fix, &mended, NULL) || mended.check_errors)
    return false;
  g_assert(shim_check(shim, BG_FIX_NONE, &again, NULL));
  g_assert(again.corruptions <= mended.corruptions);
  g_assert(again.leaks <= mended.leaks);
  return again.corruptions + again.leaks + again.check_errors == 0;
}

static void use(Shim *shim, const BgDriver *driver, BgChild *file, const uint8_t *script)
{
  bool sound = look(shim, driver);
  if (!sound && script[0] & SCRIPT_MEND_FIRST)
    sound = mend(shim, script);
  script_run(shim, driver, file, script, sound);
  if (!sound && !shim_is_writable(shim))
    mend(shim, script);
}

/* ── the image ── */

/* The child that holds it; *locked: with a header that the secret opens. */
static BgChild *new_file(const uint8_t *data, size_t size, bool *locked)
{
  size_t area_size, head = MIN(size, (size_t)FUZZ_KEY_AREA_AT);
  const uint8_t *area = fuzz_needs_key_area(data, size) ? fuzz_key_area(&area_size) : NULL;
  *locked = area;
  if (!area)
    head = size, area_size = 0;
  uint64_t rest = area ? FUZZ_KEY_AREA_AT + area_size : size;
  BgChild *file = mem_child_new(rest + (size - head));
  uint8_t *bytes = mem_child_data(file);
  if (size > 0)
    memcpy(bytes, data, head);
  if (area)
    memcpy(bytes + FUZZ_KEY_AREA_AT, area, area_size);
  if (size > head)
    memcpy(bytes + rest, data + head, size - head);
  mem_child_set_capacity(file, capacity);
  return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  uint8_t script[SCRIPT_SIZE];
  bool locked;
  if (size > capacity)
    return 0;
  script_read(data, size, script);
  g_autoptr(BgChild) file = new_file(data, size, &locked);
  g_autoptr(BgChild) data_file = mem_child_new(BACKING), backing = mem_child_new(BACKING);
  mem_child_set_capacity(data_file, capacity);
  ShimSetup setup = {.driver = bg_driver_find("qcow2"),
                     .options = script_options(script),
                     .file = file,
                     .data = data_file,
                     .backing = script[0] & SCRIPT_OVERLAY ? backing : NULL,
                     .secret = locked && !(script[0] & SCRIPT_LOOK_ONLY) ? &fuzz_secret : NULL};
  setup.driver->probe(data, MIN(size, 64 << 10));
  g_autoptr(Shim) shim = shim_open(&setup, NULL);
  if (shim) {
    g_assert(shim_size(shim) >= 0);
    use(shim, setup.driver, file, script);
  }
  return 0;
}
