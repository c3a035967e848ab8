/* A secret that the user gave under a name: a passphrase, mostly. */
#ifndef BG_SECRET_H
#define BG_SECRET_H

#include <stddef.h>
#include <stdint.h>

typedef struct BgSecret {
  const char *id;
  const uint8_t *data; /* as it was given: nothing is added or taken away */
  size_t length;       /* bytes, > 0 */
} BgSecret;

#endif
