/* The format `raw` with any window, on storage of any size: what is read and written goes exactly there. */
#include "tests/fuzz/fuzz.h"

#include "drivers/registry.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"

#include <string.h>

enum { STORAGE = 64 << 10, CALL = 8 };

/* An input: the storage's size (2 bytes), two windows' offset and size (3 bytes each; of nothing: no such option), then calls. */
enum { WINDOW = 6, HEAD = 2 + 2 * WINDOW };

static uint32_t number(const uint8_t *bytes, int count)
{
  uint32_t value = 0;
  while (count--)
    value = value << 8 | *bytes++;
  return value;
}

typedef struct Window {
  uint64_t offset, size;
  char texts[2][16];
  const char *options[5];
} Window;

static void window_parse(const uint8_t *bytes, Window *window)
{
  const char **option = window->options;
  window->offset = number(bytes, 3);
  window->size = number(bytes + 3, 3);
  g_snprintf(window->texts[0], sizeof window->texts[0], "%u", (unsigned)window->offset);
  g_snprintf(window->texts[1], sizeof window->texts[1], "%u", (unsigned)window->size);
  if (window->offset) {
    *option++ = "offset";
    *option++ = window->texts[0];
  }
  if (window->size) {
    *option++ = "size";
    *option++ = window->texts[1];
  }
  *option = NULL;
}

static void check_read(Shim *shim, const Window *window, const uint8_t *shadow, uint64_t offset, uint64_t length)
{
  g_autofree uint8_t *seen = g_malloc(length + 1);
  g_assert(shim_read(shim, seen, length, offset) == 0);
  g_assert(memcmp(seen, shadow + window->offset + offset, length) == 0);
}

static void call(Shim *shim, const Window *window, uint8_t *shadow, const uint8_t *bytes)
{
  uint64_t size = (uint64_t)shim_size(shim), offset = number(bytes + 1, 3), length = number(bytes + 4, 2);
  BgExtent extent;
  if (offset >= size)
    return;
  length = MIN(length, size - offset);
  if (length == 0)
    return;
  uint8_t *at = shadow + window->offset + offset;
  g_assert(shim_map(shim, offset, length, &extent) == 0 && extent.offset == window->offset + offset);
  switch (bytes[0] % 4) {
  case 0:
    check_read(shim, window, shadow, offset, length);
    return;
  case 1:
    memset(at, bytes[6], length);
    g_assert(shim_write(shim, at, length, offset) == 0);
    return;
  case 2:
    memset(at, 0, length);
    g_assert(shim_zero(shim, offset, length, bytes[6] % 2 ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE) == 0);
    return;
  default:
    g_assert(shim_flush(shim) == 0);
  }
}

static bool fits(const Window *window, uint64_t storage)
{
  return window->offset <= storage && window->size <= storage - window->offset;
}

static void run(Shim *shim, Window *window, const Window *second, uint8_t *shadow, uint64_t storage,
                const uint8_t *calls, size_t length)
{
  for (size_t at = 0; at + CALL <= length; at += CALL) {
    if (at == length / CALL / 2 * CALL && shim_set_options(shim, (const char *const *)second->options, NULL)) {
      g_assert(fits(second, storage));
      window->offset = second->offset;
    }
    call(shim, window, shadow, calls + at);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size < HEAD)
    return 0;
  uint64_t storage = number(data, 2);
  Window window, second;
  window_parse(data + 2, &window);
  window_parse(data + 2 + WINDOW, &second);
  g_autofree uint8_t *shadow = g_malloc0(STORAGE + UINT16_MAX);
  for (uint64_t i = 0; i < storage; i++)
    shadow[i] = (uint8_t)(i * 7 + i / 251);
  g_autoptr(BgChild) file = mem_child_new(storage);
  memcpy(mem_child_data(file), shadow, storage);
  mem_child_set_limits(file, &(BgLimits){1, 1, false});
  ShimSetup setup = {.driver = bg_driver_find("raw"), .file = file, .options = (const char *const *)window.options};
  g_autoptr(Shim) shim = shim_open(&setup, NULL);
  g_assert(!shim == !fits(&window, storage));
  if (!shim || !shim_set_writable(shim, true, NULL))
    return 0;
  run(shim, &window, &second, shadow, storage, data + HEAD, size - HEAD);
  g_assert(shim_set_writable(shim, false, NULL));
  g_assert(memcmp(mem_child_data(file), shadow, storage) == 0);
  return 0;
}
