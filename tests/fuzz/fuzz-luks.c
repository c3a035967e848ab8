/* A hostile LUKS header: read, and tried with a secret where that takes no time. An input changes a good header, whose key slots stay
 * as they are: each time an offset (2 bytes), a length (1 byte), and so many bytes. */
#include "tests/fuzz/fuzz.h"

#include "drivers/crypto/luks.h"
#include "tests/drivers/mem-child.h"
#include "tests/fuzz/key-area.h"

#include <string.h>

/* What a try may cost: iterations in all, slots, bytes of the key. */
enum { ITERATIONS = 20000, SLOTS = 2, KEY = 32 };

enum { CHANGE = 3, LONGEST = 40 };

static void check_header(const BgLuks *luks, uint64_t area)
{
  g_assert(luks->spec.key_length > 0 && luks->spec.key_length <= BG_CIPHER_KEY_MAX);
  g_assert(luks->digest_iterations > 0);
  for (unsigned i = 0; i < BG_LUKS_SLOTS; i++) {
    const BgLuksSlot *slot = &luks->slots[i];
    uint64_t material = (uint64_t)luks->spec.key_length * slot->stripes;
    g_assert(slot->offset >= BG_LUKS_HEADER_SIZE && material <= area && slot->offset <= area - material);
    g_assert(!slot->active || slot->iterations > 0);
  }
}

static bool is_quick(const BgLuks *luks)
{
  uint64_t iterations = 0, active = 0;
  for (unsigned i = 0; i < BG_LUKS_SLOTS; i++) {
    active += luks->slots[i].active;
    iterations += luks->slots[i].active ? (uint64_t)luks->slots[i].iterations + luks->digest_iterations : 0;
  }
  return iterations <= ITERATIONS && active <= SLOTS && luks->spec.key_length <= KEY;
}

static void unlock(const BgLuks *luks, BgChild *file)
{
  uint8_t key[BG_CIPHER_KEY_MAX];
  uint8_t sector[BG_CIPHER_SECTOR] = {1}, same[BG_CIPHER_SECTOR] = {1};
  g_autoptr(GError) error = NULL;
  if (!bg_luks_unlock(luks, file, 0, &fuzz_secret, key, &error)) {
    g_assert(error);
    return;
  }
  BgCipher *cipher = bg_cipher_new(&luks->spec, key, NULL);
  if (cipher && bg_cipher_encrypt(cipher, sector, sizeof sector, 7) == 0) {
    g_assert(bg_cipher_decrypt(cipher, sector, sizeof sector, 7) == 0);
    g_assert(memcmp(sector, same, sizeof sector) == 0);
  }
  bg_cipher_free(cipher);
}

static void change(uint8_t header[BG_LUKS_HEADER_SIZE], const uint8_t *data, size_t size)
{
  for (size_t at = 0; at + CHANGE < size;) {
    size_t offset = ((size_t)data[at] << 8 | data[at + 1]) % BG_LUKS_HEADER_SIZE;
    size_t length = MIN((size_t)(1 + data[at + 2] % LONGEST), size - at - CHANGE);
    memcpy(header + offset, data + at + CHANGE, MIN(length, BG_LUKS_HEADER_SIZE - offset));
    at += CHANGE + length;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  size_t area_size;
  const uint8_t *area = fuzz_key_area(&area_size);
  BgLuks luks;
  g_autoptr(GError) error = NULL;
  if (!area)
    return 0;
  uint8_t header[BG_LUKS_HEADER_SIZE];
  memcpy(header, area, sizeof header);
  change(header, data, size);
  bool good = bg_luks_parse(header, area_size, &luks, &error);
  g_assert(good == !error);
  if (!good)
    return 0;
  check_header(&luks, area_size);
  if (!is_quick(&luks))
    return 0;
  g_autoptr(BgChild) file = mem_child_new(area_size);
  memcpy(mem_child_data(file), area, area_size);
  memcpy(mem_child_data(file), header, sizeof header);
  unlock(&luks, file);
  return 0;
}
