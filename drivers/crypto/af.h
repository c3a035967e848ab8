/* The anti-forensic splitter of LUKS1: a key spread over many stripes, all of which are needed to get it back. */
#ifndef BG_CRYPTO_AF_H
#define BG_CRYPTO_AF_H

#include "drivers/crypto/primitives.h"

/* `split` has stripes × length bytes, `length` at most BG_CIPHER_KEY_MAX. 0 or -errno. */
int bg_af_split(int hash, const uint8_t *key, size_t length, uint32_t stripes, uint8_t *split);
int bg_af_merge(int hash, const uint8_t *split, size_t length, uint32_t stripes, uint8_t *key);

#endif
