/* LUKS version 1: a header that tells how a disk is encrypted, with up to eight slots, each of which holds the disk's key under a passphrase
 * (the LUKS On-Disk Format Specification 1.2.3). */
#ifndef BG_CRYPTO_LUKS_H
#define BG_CRYPTO_LUKS_H

#include "drivers/child.h"
#include "drivers/crypto/cipher.h"
#include "drivers/secret.h"

#define BG_LUKS_HEADER_SIZE   592u
#define BG_LUKS_IDENTITY_SIZE 208u /* the header's part that no change of passphrases touches */
#define BG_LUKS_SLOTS         8u
#define BG_LUKS_STRIPES       4000u
#define BG_LUKS_AREA_MAX      (UINT64_C(16) << 20) /* bytes of header and slots that we take */

typedef struct BgLuksSlot {
  bool active;
  uint32_t iterations;
  uint8_t salt[32];
  uint64_t offset; /* bytes from the header's start */
  uint32_t stripes;
} BgLuksSlot;

typedef struct BgLuks {
  char cipher[32], mode[32], hash_name[32], uuid[40]; /* printable, ended by zero */
  BgCipherSpec spec;
  int hash;
  uint64_t payload_offset; /* bytes */
  uint8_t digest[20], digest_salt[32];
  uint32_t digest_iterations;
  BgLuksSlot slots[BG_LUKS_SLOTS];
} BgLuks;

/* Reads and checks every field of the header in `bytes` (BG_LUKS_HEADER_SIZE), which with its slots has an area of `area` bytes. EINVAL
 * malformed, ENOTSUP well-formed but not served. */
bool bg_luks_parse(const uint8_t *bytes, uint64_t area, BgLuks *luks, GError **error);

/* The disk's key (luks->spec.key_length bytes, into secret memory of the caller's) from the area at `base` of `file`. Slots that would take
 * too long on this machine are not tried, and named in the error: EACCES where the secret opens none of the others, EFBIG where there are no
 * others. */
#define BG_LUKS_SLOT_SECONDS_MAX 10
#define BG_LUKS_SECONDS_MAX      30
bool bg_luks_unlock(const BgLuks *luks, BgChild *file, uint64_t base, const BgSecret *secret, uint8_t *key,
                    GError **error);

/* What a new area is made with. */
typedef struct BgLuksCreate {
  const char *cipher; /* "aes" */
  const char *mode;   /* "xts-plain64" */
  const char *hash;   /* "sha256" */
  size_t key_length;  /* bytes */
  uint32_t iter_time; /* milliseconds that a passphrase shall cost */
  const BgSecret *secret;
} BgLuksCreate;

/* Bytes of an area with keys of that length. */
uint64_t bg_luks_area_size(size_t key_length);
/* A new area with a random key, the first slot opened by the secret; freed by g_free(). NULL on error. *key (may be NULL, then it is forgotten):
 * `key_length` bytes. */
uint8_t *bg_luks_create(const BgLuksCreate *create, uint8_t *key, GError **error);

#endif
