#include "tests/fuzz/shadow.h"

#include <string.h>

enum { PIECE = 4 << 10 };

void shadow_set(Shadow *shadow, uint64_t offset, uint64_t length, const uint8_t *bytes)
{
  if (offset >= SHADOW_SIZE)
    return;
  length = MIN(length, SHADOW_SIZE - offset);
  memset(shadow->known + offset, bytes != NULL, length);
  if (bytes)
    memcpy(shadow->bytes + offset, bytes, length);
}

static void check_bytes(const Shadow *shadow, const uint8_t *bytes, uint64_t offset, uint64_t length)
{
  if (memcmp(shadow->bytes + offset, bytes, length) == 0)
    return;
  for (uint64_t i = 0; i < length; i++)
    g_assert(!shadow->known[offset + i] || shadow->bytes[offset + i] == bytes[i]);
}

void shadow_check(const Shadow *shadow, Shim *shim)
{
  uint8_t bytes[PIECE];
  for (uint64_t at = 0; at < SHADOW_SIZE; at += PIECE)
    if (memchr(shadow->known + at, 1, PIECE) && shim_read(shim, bytes, PIECE, at) == 0)
      check_bytes(shadow, bytes, at, PIECE);
}

void shadow_check_snapshot(const Shadow *shadow, Shim *shim, const char *id)
{
  g_autofree uint8_t *bytes = g_malloc(SHADOW_SIZE);
  if (shim_read_snapshot(shim, id, bytes, SHADOW_SIZE) == 0)
    check_bytes(shadow, bytes, 0, SHADOW_SIZE);
}
