/* New LUKS areas. */
#include "drivers/crypto/af.h"
#include "drivers/crypto/luks-layout.h"
#include "drivers/crypto/luks.h"
#include "drivers/crypto/memory.h"

#include <endian.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

enum { ALIGNMENT = 4096, ITERATIONS_MIN = 1000 };

static void put32(uint8_t *at, uint32_t value)
{
  value = htobe32(value);
  memcpy(at, &value, sizeof value);
}

static uint64_t slot_size(size_t key_length)
{
  return ((uint64_t)key_length * BG_LUKS_STRIPES + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

static uint64_t slot_offset(size_t key_length, unsigned slot)
{
  return ALIGNMENT + slot * slot_size(key_length);
}

uint64_t bg_luks_area_size(size_t key_length)
{
  return slot_offset(key_length, BG_LUKS_SLOTS);
}

static uint32_t iterations_for(int hash, size_t length, uint32_t milliseconds)
{
  double count = bg_pbkdf2_speed(hash, length) * milliseconds / 1000;
  return count < ITERATIONS_MIN ? ITERATIONS_MIN : count > INT32_MAX ? INT32_MAX : (uint32_t)count;
}

/* What lies in secret memory meanwhile. */
typedef struct Keys {
  uint8_t disk[BG_CIPHER_KEY_MAX], slot[BG_CIPHER_KEY_MAX];
} Keys;

static void format_uuid(uint8_t *at)
{
  g_autofree char *uuid = g_uuid_string_random();
  g_strlcpy((char *)at, uuid, LUKS_SLOTS - LUKS_UUID);
}

static int format_head(const BgLuksCreate *create, int hash, const Keys *keys, uint8_t *area)
{
  memcpy(area + LUKS_MAGIC, LUKS_MAGIC_BYTES, sizeof LUKS_MAGIC_BYTES - 1);
  area[LUKS_VERSION + 1] = 1;
  g_strlcpy((char *)area + LUKS_CIPHER, create->cipher, LUKS_MODE - LUKS_CIPHER);
  g_strlcpy((char *)area + LUKS_MODE, create->mode, LUKS_HASH - LUKS_MODE);
  g_strlcpy((char *)area + LUKS_HASH, create->hash, LUKS_PAYLOAD - LUKS_HASH);
  put32(area + LUKS_PAYLOAD, (uint32_t)(bg_luks_area_size(create->key_length) / BG_CIPHER_SECTOR));
  put32(area + LUKS_KEY_BYTES, (uint32_t)create->key_length);
  uint32_t iterations = iterations_for(hash, 20, create->iter_time / 8);
  put32(area + LUKS_DIGEST_ITERATIONS, iterations);
  format_uuid(area + LUKS_UUID);
  int r = bg_random(area + LUKS_DIGEST_SALT, LUKS_DIGEST_ITERATIONS - LUKS_DIGEST_SALT);
  if (r == 0)
    r = bg_pbkdf2(hash, keys->disk, create->key_length, area + LUKS_DIGEST_SALT,
                  LUKS_DIGEST_ITERATIONS - LUKS_DIGEST_SALT, iterations, area + LUKS_DIGEST,
                  LUKS_DIGEST_SALT - LUKS_DIGEST);
  for (unsigned i = 0; i < BG_LUKS_SLOTS; i++) {
    uint8_t *slot = area + LUKS_SLOTS + i * LUKS_SLOT_SIZE;
    put32(slot + LUKS_SLOT_STATE, LUKS_SLOT_DISABLED);
    put32(slot + LUKS_SLOT_OFFSET, (uint32_t)(slot_offset(create->key_length, i) / BG_CIPHER_SECTOR));
    put32(slot + LUKS_SLOT_STRIPES, BG_LUKS_STRIPES);
  }
  return r;
}

static int fill_slot(const BgLuksCreate *create, int hash, const BgCipherSpec *spec, Keys *keys, uint8_t *area)
{
  uint8_t *slot = area + LUKS_SLOTS, *material = area + slot_offset(create->key_length, 0);
  uint32_t iterations = iterations_for(hash, create->key_length, create->iter_time);
  int r = bg_random(slot + LUKS_SLOT_SALT, LUKS_SLOT_OFFSET - LUKS_SLOT_SALT);
  if (r == 0)
    r = bg_pbkdf2(hash, create->secret->data, create->secret->length, slot + LUKS_SLOT_SALT,
                  LUKS_SLOT_OFFSET - LUKS_SLOT_SALT, iterations, keys->slot, create->key_length);
  if (r == 0)
    r = bg_af_split(hash, keys->disk, create->key_length, BG_LUKS_STRIPES, material);
  BgCipher *cipher = r == 0 ? bg_cipher_new(spec, keys->slot, NULL) : NULL;
  if (r == 0)
    r = cipher ? bg_cipher_encrypt(cipher, material, create->key_length * BG_LUKS_STRIPES, 0) : -ENOMEM;
  bg_cipher_free(cipher);
  put32(slot + LUKS_SLOT_ITERATIONS, iterations);
  put32(slot + LUKS_SLOT_STATE, LUKS_SLOT_ENABLED);
  return r;
}

uint8_t *bg_luks_create(const BgLuksCreate *create, uint8_t *key, GError **error)
{
  BgCipherSpec spec;
  int hash = bg_hash_find(create->hash);
  if (hash < 0) {
    bg_set_error(error, ENOTSUP, "The hash '%s' is not supported", create->hash);
    return NULL;
  }
  if (!bg_cipher_spec_parse(create->cipher, create->mode, create->key_length, &spec, error))
    return NULL;
  g_autofree uint8_t *area = g_try_malloc0(bg_luks_area_size(create->key_length));
  Keys *keys = bg_secret_alloc(sizeof *keys);
  int r = area && keys ? bg_random(keys->disk, create->key_length) : -ENOMEM;
  if (r == 0)
    r = format_head(create, hash, keys, area);
  if (r == 0)
    r = fill_slot(create, hash, &spec, keys, area);
  if (r == 0 && key)
    memcpy(key, keys->disk, create->key_length);
  bg_secret_free(keys, sizeof *keys);
  if (r == 0)
    return g_steal_pointer(&area);
  bg_set_error_errno(error, -r, "Cannot make a LUKS header");
  return NULL;
}
