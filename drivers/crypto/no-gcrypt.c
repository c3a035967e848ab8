/* The primitives where the library was not there at build time. */
#include "drivers/crypto/primitives.h"

#include <errno.h>

bool bg_crypto_check(GError **error)
{
  bg_set_error(error, ENOTSUP,
               "encryption is not in this build: libgcrypt was missing (Debian: apt-get install libgcrypt20-dev, then "
               "configure and make again)");
  return false;
}

int bg_hash_find(const char *name)
{
  (void)name;
  return -1;
}

size_t bg_hash_size(int hash)
{
  (void)hash;
  return 0;
}

int bg_hash(int hash, const struct iovec *pieces, int count, uint8_t *digest)
{
  (void)hash;
  (void)pieces;
  (void)count;
  (void)digest;
  return -ENOTSUP;
}

int bg_pbkdf2(int hash, const void *password, size_t password_length, const void *salt, size_t salt_length,
              uint32_t iterations, void *out, size_t length)
{
  (void)hash;
  (void)password;
  (void)password_length;
  (void)salt;
  (void)salt_length;
  (void)iterations;
  (void)out;
  (void)length;
  return -ENOTSUP;
}

double bg_pbkdf2_speed(int hash, size_t length)
{
  (void)hash;
  (void)length;
  return 1;
}

int bg_random(void *out, size_t length)
{
  (void)out;
  (void)length;
  return -ENOTSUP;
}

size_t bg_block_cipher_size(const char *name, BgCipherMode mode, size_t key_length)
{
  (void)name;
  (void)mode;
  (void)key_length;
  return 0;
}

BgBlockCipher *bg_block_cipher_new(const char *name, BgCipherMode mode, const uint8_t *key, size_t key_length)
{
  (void)name;
  (void)mode;
  (void)key;
  (void)key_length;
  return NULL;
}

void bg_block_cipher_free(BgBlockCipher *cipher)
{
  (void)cipher;
}

int bg_block_cipher_encrypt(BgBlockCipher *cipher, const uint8_t *iv, void *buffer, size_t length)
{
  (void)cipher;
  (void)iv;
  (void)buffer;
  (void)length;
  return -ENOTSUP;
}

int bg_block_cipher_decrypt(BgBlockCipher *cipher, const uint8_t *iv, void *buffer, size_t length)
{
  (void)cipher;
  (void)iv;
  (void)buffer;
  (void)length;
  return -ENOTSUP;
}
