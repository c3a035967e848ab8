/* The encryption of a disk: each sector of 512 bytes by itself, its number deciding the initialization vector. */
#ifndef BG_CRYPTO_CIPHER_H
#define BG_CRYPTO_CIPHER_H

#include "drivers/crypto/primitives.h"

#define BG_CIPHER_SECTOR  512u
#define BG_CIPHER_KEY_MAX 64u /* bytes */

typedef enum {
  BG_IV_PLAIN,   /* the sector's number, 32 bits */
  BG_IV_PLAIN64, /* 64 bits */
  BG_IV_ESSIV    /* the number, encrypted with a hash of the key */
} BgIv;

typedef struct BgCipherSpec {
  char name[32]; /* "aes", "serpent", "twofish", "cast5" */
  BgCipherMode mode;
  BgIv iv;
  int iv_hash; /* ESSIV */
  size_t key_length;
} BgCipherSpec;

/* `name` and a mode as LUKS writes it: "xts-plain64", "cbc-essiv:sha256". ENOTSUP where the words are well-formed but not served,
 * naming what is not. */
bool bg_cipher_spec_parse(const char *name, const char *mode, size_t key_length, BgCipherSpec *spec, GError **error);

typedef struct BgCipher BgCipher;

/* NULL on error. The key (spec->key_length bytes) is copied to where it is wiped. */
BgCipher *bg_cipher_new(const BgCipherSpec *spec, const uint8_t *key, GError **error);
/* NULL is fine. */
void bg_cipher_free(BgCipher *cipher);

/* In place, any number of threads; `sector` is the number of the first. The last sector may be cut at a block's end. 0 or -errno. */
int bg_cipher_encrypt(BgCipher *cipher, void *buffer, size_t length, uint64_t sector);
int bg_cipher_decrypt(BgCipher *cipher, void *buffer, size_t length, uint64_t sector);

#endif
