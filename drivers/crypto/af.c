#include "drivers/crypto/af.h"

#include "drivers/crypto/cipher.h"

#include <endian.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

/* Each piece of a digest's size becomes the hash of its number and itself. */
static int diffuse(int hash, uint8_t *block, size_t length)
{
  size_t size = bg_hash_size(hash);
  uint8_t digest[BG_DIGEST_MAX];
  for (size_t at = 0, i = 0; at < length; at += size, i++) {
    uint32_t number = htobe32((uint32_t)i);
    size_t here = MIN(length - at, size);
    struct iovec pieces[] = {{&number, sizeof number}, {block + at, here}};
    int r = bg_hash(hash, pieces, 2, digest);
    if (r < 0)
      return r;
    memcpy(block + at, digest, here);
  }
  explicit_bzero(digest, sizeof digest);
  return 0;
}

static void xor_into(uint8_t *block, const uint8_t *other, size_t length)
{
  for (size_t i = 0; i < length; i++)
    block[i] ^= other[i];
}

/* What all stripes but the last make of a block of zeros. */
static int gather(int hash, const uint8_t *split, size_t length, uint32_t stripes, uint8_t *block)
{
  int r = 0;
  memset(block, 0, length);
  for (uint32_t i = 0; i + 1 < stripes && r == 0; i++) {
    xor_into(block, split + (size_t)i * length, length);
    r = diffuse(hash, block, length);
  }
  return r;
}

int bg_af_split(int hash, const uint8_t *key, size_t length, uint32_t stripes, uint8_t *split)
{
  uint8_t block[BG_CIPHER_KEY_MAX], *last = split + (size_t)(stripes - 1) * length;
  if (length > sizeof block || stripes == 0)
    return -EINVAL;
  int r = bg_random(split, (size_t)(stripes - 1) * length);
  if (r == 0)
    r = gather(hash, split, length, stripes, block);
  if (r == 0) {
    memcpy(last, key, length);
    xor_into(last, block, length);
  }
  explicit_bzero(block, sizeof block);
  return r;
}

int bg_af_merge(int hash, const uint8_t *split, size_t length, uint32_t stripes, uint8_t *key)
{
  uint8_t block[BG_CIPHER_KEY_MAX];
  if (length > sizeof block || stripes == 0)
    return -EINVAL;
  int r = gather(hash, split, length, stripes, block);
  if (r == 0) {
    xor_into(block, split + (size_t)(stripes - 1) * length, length);
    memcpy(key, block, length);
  }
  explicit_bzero(block, sizeof block);
  return r;
}
