/* A hostile qcow2 image: opened, looked at, mapped, read, checked, made writable, written, zeroed, discarded, resized, flushed,
 * mended and closed, all through the contract of drivers. */
#include "tests/fuzz/fuzz.h"

#include "drivers/registry.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"

#include <string.h>

enum { PIECE = 64 << 10, PIECES = 24, WRITES = 6, BACKING = 96 << 10 };

/* What the driver may make of the image before the storage is full. */
static const uint64_t capacity = UINT64_C(8) << 20;

static uint64_t next(uint64_t *state)
{
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 16;
}

/* A place in the disk: its start, its end, and anything between. */
static uint64_t place(uint64_t *state, uint64_t size)
{
  switch (next(state) % 4) {
  case 0:
    return next(state) % MIN(size, 128 << 10);
  case 1:
    return size - 1 - next(state) % MIN(size, 128 << 10);
  default:
    return next(state) % size;
  }
}

static void read_around(Shim *shim, uint64_t size, uint64_t *state)
{
  g_autofree uint8_t *buffer = g_malloc(PIECE);
  for (uint64_t i = 0; i < PIECES; i++) {
    uint64_t offset = i < PIECES / 2 ? i * PIECE : place(state, size);
    BgExtent extent;
    if (offset >= size)
      continue;
    shim_map(shim, offset, size - offset, &extent);
    shim_read(shim, buffer, PIECE, offset);
  }
}

static void write_around(Shim *shim, uint64_t size, uint64_t *state)
{
  g_autofree uint8_t *buffer = g_malloc(PIECE);
  memset(buffer, 0xa5, PIECE);
  for (int i = 0; i < WRITES; i++) {
    uint64_t offset = place(state, size), length = MIN(1 + next(state) % PIECE, size - offset);
    switch (next(state) % 6) {
    case 0:
      shim_zero(shim, offset, length, next(state) % 2 ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE);
      break;
    case 1:
      shim_discard(shim, offset, length);
      break;
    case 2:
      shim_write_back(shim);
      break;
    default:
      shim_write(shim, buffer, length, offset);
    }
  }
  shim_flush(shim);
}

/* Sizes near the one that it has; filling a hostile petabyte with zeros is nobody's wish. */
static void resize_a_bit(Shim *shim, uint64_t size, uint64_t *state)
{
  uint64_t change = next(state) % PIECE / 512 * 512;
  if (size < UINT64_C(1) << 40)
    shim_resize(shim, next(state) % 2 || change >= size ? size + change : size - change);
}

static void take_fact(BgInfo *info, const char *name, GVariant *value)
{
  (void)info;
  g_assert(name);
  g_variant_unref(g_variant_ref_sink(value));
}

static void look(Shim *shim, const BgDriver *driver)
{
  BgInfo info = {take_fact};
  BgCheckResult result;
  driver->info(shim_instance(shim), &info);
  shim_check(shim, BG_FIX_NONE, &result, NULL);
}

/* What was mended stays so, and what was left was told. */
static void mend(Shim *shim, uint64_t *state)
{
  BgCheckResult mended, again;
  BgFix fix = next(state) % 3 ? BG_FIX_ALL : BG_FIX_LEAKS;
  if (!shim_check(shim, fix, &mended, NULL) || mended.check_errors)
    return;
  g_assert(shim_check(shim, BG_FIX_NONE, &again, NULL));
  g_assert(again.corruptions <= mended.corruptions);
  g_assert(again.leaks <= mended.leaks);
}

static void change(Shim *shim, uint64_t size, uint64_t *state)
{
  write_around(shim, size, state);
  read_around(shim, size, state);
  resize_a_bit(shim, size, state);
  shim_set_writable(shim, false, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size > capacity)
    return 0;
  uint64_t state = size;
  for (size_t i = 0; i < MIN(size, 1024); i++)
    state = state * 31 + data[i];
  g_autoptr(BgChild) file = mem_child_new(size), data_file = mem_child_new(BACKING), backing = mem_child_new(BACKING);
  if (size > 0)
    memcpy(mem_child_data(file), data, size);
  mem_child_set_capacity(file, capacity);
  mem_child_set_capacity(data_file, capacity);
  bool overlay = state % 2;
  ShimSetup setup = {
      .driver = bg_driver_find("qcow2"), .file = file, .data = data_file, .backing = overlay ? backing : NULL};
  setup.driver->probe(data, MIN(size, 64 << 10));
  g_autoptr(Shim) shim = shim_open(&setup, NULL);
  if (!shim)
    return 0;
  int64_t disk = shim_size(shim);
  g_assert(disk >= 0);
  look(shim, setup.driver);
  if (disk > 0)
    read_around(shim, (uint64_t)disk, &state);
  bool mended_first = next(&state) % 2;
  if (mended_first)
    mend(shim, &state);
  if (disk > 0 && shim_set_writable(shim, true, NULL))
    change(shim, (uint64_t)disk, &state);
  if (!mended_first && !shim_is_writable(shim))
    mend(shim, &state);
  return 0;
}
