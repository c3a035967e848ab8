/* The cryptography that formats are made of: hashes, key derivation, block ciphers. A library does the work (gcrypt.c); built without
 * it (no-gcrypt.c), everything is refused.
 *
 * Any thread, except that one BgBlockCipher serves one thread at a time. */
#ifndef BG_CRYPTO_PRIMITIVES_H
#define BG_CRYPTO_PRIMITIVES_H

#include "drivers/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define BG_DIGEST_MAX 64 /* bytes, of every hash here */

/* Whether there is cryptography at all: ENOTSUP, naming the library that is missing. Comes before everything else. */
bool bg_crypto_check(GError **error);

/* ── hashes ── */

/* By name, as LUKS writes them ("sha256"); -1: not known. */
int bg_hash_find(const char *name);
/* Bytes of its digest. */
size_t bg_hash_size(int hash);
/* Of the pieces in a row, BG_HASH_PIECES at most. 0 or -errno. */
#define BG_HASH_PIECES 4
int bg_hash(int hash, const struct iovec *pieces, int count, uint8_t *digest);

/* PBKDF2 with HMAC. 0 or -errno. Not to be interrupted: see bg_pbkdf2_seconds(). */
int bg_pbkdf2(int hash, const void *password, size_t password_length, const void *salt, size_t salt_length,
              uint32_t iterations, void *out, size_t length);
/* How many iterations a second this machine does for `length` bytes: measured anew, in some 20 ms. */
double bg_pbkdf2_speed(int hash, size_t length);

/* Random bytes, fit for keys. 0 or -errno. */
int bg_random(void *out, size_t length);

/* ── block ciphers ── */

typedef enum {
  BG_CIPHER_ECB, /* one block: for making initialization vectors */
  BG_CIPHER_CBC,
  BG_CIPHER_XTS
} BgCipherMode;

typedef struct BgBlockCipher BgBlockCipher;

/* Bytes of a block of the cipher `name` ("aes") with keys of `key_length` bytes (in XTS those of both its keys); 0: there is no such cipher. */
size_t bg_block_cipher_size(const char *name, BgCipherMode mode, size_t key_length);
/* NULL: no memory, or a key that the cipher does not take. The key is copied. */
BgBlockCipher *bg_block_cipher_new(const char *name, BgCipherMode mode, const uint8_t *key, size_t key_length);
/* Wipes the key. NULL is fine. */
void bg_block_cipher_free(BgBlockCipher *cipher);
/* In place, whole blocks; `iv` has a block's size (ECB: NULL). 0 or -errno. */
int bg_block_cipher_encrypt(BgBlockCipher *cipher, const uint8_t *iv, void *buffer, size_t length);
int bg_block_cipher_decrypt(BgBlockCipher *cipher, const uint8_t *iv, void *buffer, size_t length);

#endif
